/**
 * Self-play preference optimization with certain preferences: the gain of the chosen answer is drawn to 1 / (2 beta)
 * and that of the rejected one to -1 / (2 beta), by squares. Wu et al. 2024, https://arxiv.org/abs/2405.00675
 */
import { add, addScalar, square } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "sppo-hard",
  title: "Self-play preference optimization",
  about: "draw both gains to values of their own",
  cite: "arXiv:2405.00675",
  options: {},
  loss(rec, { chosen, rejected, beta }) {
    const won = square(rec, addScalar(rec, chosen.score, -1 / (2 * beta)));
    return add(rec, won, square(rec, addScalar(rec, rejected.score, 1 / (2 * beta))));
  },
});
