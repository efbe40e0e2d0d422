/**
 * -log sigmoid(beta delta), delta the gain of the chosen answer less that of the rejected one: Bradley and Terry's
 * model of two answers. Rafailov et al. 2023, https://arxiv.org/abs/2305.18290
 */
import { logSigmoid, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "sigmoid",
  title: "Sigmoid",
  about: "-log sigmoid of the margin: DPO as it was first given",
  cite: "arXiv:2305.18290",
  options: {},
  loss: (rec, { chosen, rejected, beta }) =>
    neg(rec, logSigmoid(rec, scale(rec, sub(rec, chosen.score, rejected.score), beta))),
});
