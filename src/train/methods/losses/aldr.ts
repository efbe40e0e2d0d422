/**
 * LDR with a temperature of each row's own: lambda_i <- lambda_0 - lambda_0 / (alpha log V) KL(softmax(z / lambda_i) ||
 * uniform) at every visit, and the loss is
 *
 *   lambda_i log( (1/V) sum_k exp(d_k / lambda_i) ) - alpha log V / (2 lambda_0) (lambda_i - lambda_0)^2,
 *   d_k = z_k - z_y + margin [k != y],
 *
 * z divided by their mean size. What the model is sure of gets a lower temperature, what it is unsure of keeps
 * lambda_0 and weighs less, which bears noisy labels. Zhu et al., ICML 2023, https://arxiv.org/abs/2112.14869
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { rowEntropy } from "../../../tensor/ops/distribution.ts";
import { add, addScalar, div, mul, scale, square, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { labelGap, softplus } from "../../../tensor/ops/label-gap.ts";
import { NORMALISE, normalisedScores } from "../../losses/label-scores.ts";

export const method = defineLabelLoss({
  name: "aldr",
  title: "Adaptive label-distributionally robust loss",
  about: "LDR with a temperature for each row, by how sure the model is of it",
  cite: "arXiv:2112.14869",
  laws: {
    shiftFree: "scores are normalised",
    favours: "scores are normalised",
    vanishes: "less lambda log V, and with a margin that is never made up",
    bounded: true,
    ownRow: true,
  },
  perRow: ({ aldr_lambda }) => aldr_lambda,
  keeps: ({ aldr_save: file }) => (file === undefined ? undefined : { file, option: "aldr_save", key: "lambda" }),
  options: {
    aldr_lambda: { type: "number > 0", default: 1, help: "temperature that rows begin with", value: "LAMBDA" },
    aldr_alpha: { type: "number > 1", default: 2, help: "how far it falls: to 1 - 1 / ALPHA of it", value: "ALPHA" },
    aldr_margin: { type: "number >= 0", default: 0.1, help: "by which a label is to be ahead", value: "C" },
    aldr_normalise: NORMALISE("mean-size"),
    aldr_save: {
      type: "string",
      writes: "text",
      value: "FILE",
      help: "the temperature of every row at the end, as lines of place and lambda: low where a label is believed",
    },
  },
  rows(rec, { logits, targets, values, row }) {
    const { aldr_lambda: first, aldr_alpha: alpha, aldr_margin: margin, aldr_normalise: how } = values;
    const [n = 0, v = 2] = logits.shape;
    const scores = normalisedScores(rec, logits, how);
    const column = (x: typeof logits) => rec.reshape(x, [n, 1]);
    const { before, set } = row!;
    const entropy = rowEntropy(rec, div(rec, stopGradient(rec, scores), column(before)));
    // lambda_0 - lambda_0 / (alpha log V) (log V - H)
    const share = first / (alpha * Math.log(v));
    const lambda = addScalar(rec, scale(rec, entropy, share), first * (1 - 1 / alpha));
    set(lambda);
    const gap = labelGap(rec, div(rec, scores, column(lambda)), targets);
    const ahead = div(rec, rec.constant(Float32Array.of(margin), [1], "margin"), lambda);
    const worst = addScalar(rec, softplus(rec, add(rec, gap, ahead)), -Math.log(v));
    const drift = square(rec, addScalar(rec, lambda, -first));
    return sub(rec, mul(rec, lambda, worst), scale(rec, drift, 1 / (2 * share)));
  },
});
