/**
 * PDU: drives logits flat, (max z - mean z)^2, under the constraint that the retain loss stays below `limit`; the
 * multiplier follows the violation, mu <- max(0, mu + rate (R - limit)), after a warm-up. Entesari et al. 2025,
 * https://arxiv.org/abs/2506.05314
 */
import { square, sub } from "../../../tensor/ops/elementwise.ts";
import { rowMax, rowSum } from "../../../tensor/ops/reduce.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "pdu",
  title: "Primal-dual unlearning",
  about: "flattens the logits of the forget set while the retain loss is kept below a limit",
  cite: "arXiv:2506.05314",
  laws: { ...EVERY_LAW, forgets: "logits are flattened, whichever token is the true one" },
  weights: { forget: 1, retain: 50 },
  options: {
    limit: { type: "number >= 0", default: 0.3, help: "retain loss to stay below; a little above the original's own" },
    rate: { type: "number >= 0", default: 1, help: "step of the multiplier" },
    warmup_epochs: { type: "number >= 0", default: 0, help: "epochs with the multiplier held" },
  },
  rows: (rec, { logits }) => square(rec, sub(rec, rowMax(rec, logits), rowSum(rec, logits, 1 / logits.shape.at(-1)!))),
  adaptive({ values: { limit, rate, warmup_epochs }, weights, perEpoch }) {
    let mu = weights.retain;
    return {
      values: () => ({ retain_weight: mu }),
      heard({ retain_loss: loss }, step) {
        if (step > warmup_epochs * perEpoch) mu = Math.max(0, mu + rate * (loss! - limit));
      },
      state: () => mu,
      load: (state) => {
        mu = state as number;
      },
    };
  },
});
