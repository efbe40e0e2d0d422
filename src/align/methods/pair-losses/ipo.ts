/**
 * (delta - 1 / (2 beta))^2 of gains per token: the margin is drawn to a value instead of growing without end where a
 * preference is never contradicted. Azar et al. 2023, https://arxiv.org/abs/2310.12036; per token as TRL has it
 */
import { addScalar, square, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "ipo",
  title: "Identity preference optimization",
  about: "draw the margin of gains per token to 1 / (2 beta)",
  cite: "arXiv:2310.12036",
  options: {},
  loss: (rec, { chosen, rejected, beta }) =>
    square(rec, addScalar(rec, sub(rec, chosen.meanScore, rejected.meanScore), -1 / (2 * beta))),
});
