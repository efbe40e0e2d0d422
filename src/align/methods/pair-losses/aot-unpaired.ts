/**
 * Alignment by optimal transport without pairs: the gains of all chosen answers, sorted, are to exceed those of all
 * rejected ones, sorted. Melnyk et al. 2024, https://arxiv.org/abs/2406.05882
 */
import { definePairLoss, LABEL_SMOOTHING } from "../../preferences/pair-loss.ts";
import { sortedMarginLoss } from "../../preferences/sorted-margin.ts";

export const method = definePairLoss({
  name: "aot-unpaired",
  title: "Optimal transport, unpaired",
  about: "sorted gains of chosen answers exceed those of rejected ones",
  cite: "arXiv:2406.05882",
  options: { label_smoothing: LABEL_SMOOTHING(0) },
  acrossPairs: true,
  loss: (rec, { chosen, rejected, beta, values: { label_smoothing: smoothing } }) =>
    sortedMarginLoss(rec, chosen.ratio, rejected.ratio, { beta, smoothing }),
});
