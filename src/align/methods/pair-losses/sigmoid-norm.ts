/**
 * The sigmoid loss of gains per token: each is divided by the tokens of its answer, so that long answers do not count
 * more. Lambert et al. 2024 (Tulu 3), https://arxiv.org/abs/2411.15124
 */
import { logSigmoid, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "sigmoid-norm",
  title: "Sigmoid, length-normalised",
  about: "-log sigmoid of the margin of gains per token",
  cite: "arXiv:2411.15124",
  options: {},
  loss: (rec, { chosen, rejected, beta }) =>
    neg(rec, logSigmoid(rec, scale(rec, sub(rec, chosen.meanScore, rejected.meanScore), beta))),
});
