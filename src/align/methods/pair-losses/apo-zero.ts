/**
 * Anchored preference optimization for answers that are better than the model's own: the chosen one is to become
 * likelier than the reference has it, the rejected one less likely: 1 - sigmoid(r_w) + sigmoid(r_l). D'Oosterlinck et
 * al. 2024, https://arxiv.org/abs/2408.06266
 */
import { add, addScalar, scale, sigmoid } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "apo-zero",
  title: "Anchored preference optimization, zero",
  about: "raise chosen answers and lower rejected ones, each by itself",
  cite: "arXiv:2408.06266",
  options: {},
  loss(rec, { chosen, rejected, beta }) {
    const won = scale(rec, sigmoid(rec, scale(rec, chosen.ratio, beta)), -1);
    return addScalar(rec, add(rec, won, sigmoid(rec, scale(rec, rejected.ratio, beta))), 1);
  },
});
