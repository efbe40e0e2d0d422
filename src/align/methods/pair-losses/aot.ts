/**
 * Alignment by optimal transport: the margins between both answers under the model, sorted, are to exceed those under
 * the reference, sorted: stochastic dominance of one distribution over the other, not pair by pair. Melnyk et al. 2024,
 * https://arxiv.org/abs/2406.05882
 */
import { sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss, LABEL_SMOOTHING } from "../../preferences/pair-loss.ts";
import { sortedMarginLoss } from "../../preferences/sorted-margin.ts";

export const method = definePairLoss({
  name: "aot",
  title: "Optimal transport",
  about: "sorted margins of the batch exceed those of the reference",
  cite: "arXiv:2406.05882",
  options: { label_smoothing: LABEL_SMOOTHING(0) },
  acrossPairs: true,
  loss: (rec, { chosen, rejected, beta, values: { label_smoothing: smoothing } }) =>
    sortedMarginLoss(rec, sub(rec, chosen.logps, rejected.logps), sub(rec, chosen.reference, rejected.reference), {
      beta,
      smoothing,
    }),
});
