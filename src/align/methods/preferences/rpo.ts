/**
 * Regularised preference optimization: DPO with the cross-entropy of the chosen answers beside it, which is what
 * optimising against the most pessimistic reward comes to, and keeps the chosen answers likely. `sum`: of all tokens of
 * an answer, times eta beta; `mean`: per token of the batch, times eta. Liu et al. 2024,
 * https://arxiv.org/abs/2405.16436
 */
import { add, neg, scale } from "../../../tensor/ops/elementwise.ts";
import { definePreference } from "../../preferences/contract.ts";
import { dpoLoss } from "../../preferences/dpo-loss.ts";
import { DPO } from "../../preferences/dpo-options.ts";

export const method = definePreference({
  name: "rpo",
  title: "Regularised preference optimization",
  about: "DPO with the cross-entropy of the chosen answers beside it, so that they stay likely",
  cite: "arXiv:2405.16436",
  reference: true,
  pairLosses: [{ name: "sigmoid", weight: 1 }],
  options: {
    ...DPO,
    eta: { type: "number >= 0", default: 0.005, help: "strength of the cross-entropy", value: "X" },
    nll: {
      type: "'sum' | 'mean'",
      default: "sum",
      help: "cross-entropy of an answer's tokens together, times eta beta, or per token, times eta (0.2 is usual)",
    },
  },
  told: ({ eta, nll, beta }) =>
    `the cross-entropy of chosen answers counts ${nll === "sum" ? eta * beta : eta} times, ${nll === "sum" ? "summed over the tokens of each" : "per token"}`,
  loss(rec, given) {
    const { eta, nll, beta } = given.values;
    const dpo = dpoLoss(rec, given);
    const extra = nll === "sum" ? scale(rec, neg(rec, given.chosen.sums), eta * beta) : scale(rec, given.nll(), eta);
    return { ...dpo, losses: add(rec, dpo.losses, extra), metrics: { nll: given.nll() } };
  },
});
