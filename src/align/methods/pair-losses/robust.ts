/**
 * Robust DPO: the sigmoid loss without bias under labels that are flipped with a known probability e:
 * ((1 - e) (-log sigmoid(beta delta)) - e (-log sigmoid(-beta delta))) / (1 - 2 e). Chowdhury et al. 2024,
 * https://arxiv.org/abs/2403.00409
 */
import { add, logSigmoid, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss, LABEL_SMOOTHING } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "robust",
  title: "Robust DPO",
  about: "the sigmoid loss, unbiased where a known share of labels is flipped",
  cite: "arXiv:2403.00409",
  options: { label_smoothing: LABEL_SMOOTHING(0.1) },
  loss(rec, { chosen, rejected, beta, values: { label_smoothing: e } }) {
    const margin = scale(rec, sub(rec, chosen.score, rejected.score), beta);
    const clean = scale(rec, logSigmoid(rec, margin), (e - 1) / (1 - 2 * e));
    return add(rec, clean, scale(rec, logSigmoid(rec, scale(rec, margin, -1)), e / (1 - 2 * e)));
  },
});
