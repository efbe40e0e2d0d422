/**
 * Noise contrastive alignment of a pair: the chosen answer is to gain, and both are kept from gaining without bound:
 * -log sigmoid(r_w) - (log sigmoid(-r_w) + log sigmoid(-r_l)) / 2, r = beta times the gain. Chen et al. 2024,
 * https://arxiv.org/abs/2402.05369
 */
import { add, logSigmoid, neg, scale } from "../../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "nca-pair",
  title: "Noise contrastive alignment",
  about: "gains themselves count, not only their difference",
  cite: "arXiv:2402.05369",
  options: {},
  loss(rec, { chosen, rejected, beta }) {
    const [won, lost] = [chosen, rejected].map(({ score }) => scale(rec, score, beta)) as [Tensor, Tensor];
    const bounds = add(rec, logSigmoid(rec, neg(rec, won)), logSigmoid(rec, neg(rec, lost)));
    return neg(rec, add(rec, logSigmoid(rec, won), scale(rec, bounds, 0.5)));
  },
});
