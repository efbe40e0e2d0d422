/**
 * Anchored preference optimization for answers that are worse than the model's own: both become less likely, the
 * rejected one more so: sigmoid(r_w) + 1 - sigmoid(r_w - r_l). D'Oosterlinck et al. 2024,
 * https://arxiv.org/abs/2408.06266
 */
import { addScalar, scale, sigmoid, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "apo-down",
  title: "Anchored preference optimization, down",
  about: "lower both answers, the rejected one more",
  cite: "arXiv:2408.06266",
  options: {},
  loss(rec, { chosen, rejected, beta }) {
    const won = sigmoid(rec, scale(rec, chosen.ratio, beta));
    const apart = sigmoid(rec, scale(rec, sub(rec, chosen.ratio, rejected.ratio), beta));
    return addScalar(rec, sub(rec, won, apart), 1);
  },
});
