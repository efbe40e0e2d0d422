/**
 * Binary classifier optimization of a pair: each answer is told apart from a threshold d, the mean reward of the batch:
 * -log sigmoid(r_w - d) - log sigmoid(d - r_l). The threshold is that of the batch alone, where TRL keeps a running
 * mean over batches. Jung et al. 2024, https://arxiv.org/abs/2404.04656
 */
import { add, logSigmoid, neg, scale, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { mean } from "../../../tensor/ops/reduce.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "bco-pair",
  title: "Binary classifier optimization",
  about: "tell chosen and rejected answers from the mean reward of the batch",
  cite: "arXiv:2404.04656",
  options: {},
  loss(rec, { chosen, rejected, beta }) {
    const [won, lost] = [chosen, rejected].map(({ score }) => scale(rec, score, beta)) as [Tensor, Tensor];
    const threshold = stopGradient(rec, scale(rec, add(rec, mean(rec, won), mean(rec, lost)), 0.5));
    const above = logSigmoid(rec, sub(rec, won, threshold));
    return neg(rec, add(rec, above, logSigmoid(rec, sub(rec, threshold, lost))));
  },
});
