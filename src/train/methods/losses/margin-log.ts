/**
 * Cross-entropy, and a penalty on probabilities that are far apart: what one client is too sure of others need not
 * share.
 *
 *   mean CE + lambda log(1 + |P|^2),  P (N, K) the probabilities of the batch, |P| the root of the sum of their squares
 *
 * The clients' side of FedLD: Zeng et al., MICCAI 2024, https://arxiv.org/abs/2408.12300. Over `rows` it is the mean of
 * log(1 + |p_i|^2) in its place, which does not fade as batches grow.
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add, addScalar, log, scale, square } from "../../../tensor/ops/elementwise.ts";
import { mean, rowSum, sum } from "../../../tensor/ops/reduce.ts";
import { softmax } from "../../../tensor/ops/softmax.ts";

export const method = defineLabelLoss({
  name: "margin-log",
  title: "Margin penalty (FedLD)",
  about: "cross-entropy and the logarithm of how far apart a batch's probabilities are",
  cite: "arXiv:2408.12300",
  laws: {
    shiftFree: true,
    favours: "the penalty grows as the label gets more certain",
    vanishes: "the penalty is largest where labels are certain",
    bounded: true,
    ownRow: "a number of the whole batch",
  },
  softens: true,
  options: {
    margin_lambda: { type: "number >= 0", default: 0.03, help: "weight of the penalty", value: "L" },
    margin_over: {
      type: "'batch' | 'rows'",
      default: "batch",
      help: "whether the logarithm is of the whole batch, or a mean over those of rows",
    },
  },

  batch(rec, { logits, targets, values: { margin_lambda: lambda, margin_over: over }, softened }) {
    const squares = square(rec, softmax(rec, logits)); // (N, K)
    const sums = over === "batch" ? sum(rec, squares) : rowSum(rec, squares);
    const penalty = mean(rec, log(rec, addScalar(rec, sums, 1)));
    const own = mean(rec, crossEntropy(rec, logits, targets, softened));
    return add(rec, own, scale(rec, penalty, lambda));
  },
});
