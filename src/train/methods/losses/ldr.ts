/**
 * lambda log( (1/V) sum_k exp((z_k - z_y + margin [k != y]) / lambda) ): cross-entropy as the worst case over weights
 * of the labels, at a temperature. lambda 1 without a margin is cross-entropy less log V, lambda to 0 the hinge of the
 * strongest rival, lambda to infinity the mean of all differences, which bears noisy labels. Zhu et al., ICML 2023,
 * https://arxiv.org/abs/2112.14869
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { addScalar, scale } from "../../../tensor/ops/elementwise.ts";
import { labelGap, softplus } from "../../../tensor/ops/label-gap.ts";
import { NORMALISE, normalisedScores } from "../../losses/label-scores.ts";

export const method = defineLabelLoss({
  name: "ldr",
  title: "Label-distributionally robust loss",
  about: "cross-entropy as a worst case over labels, at a temperature that bears noisy labels",
  cite: "arXiv:2112.14869",
  laws: {
    shiftFree: "scores are normalised",
    favours: "scores are normalised",
    vanishes: "less lambda log V, and with a margin that is never made up",
    bounded: true,
    ownRow: true,
  },
  options: {
    ldr_lambda: { type: "number > 0", default: 1, help: "temperature of the worst case", value: "LAMBDA" },
    ldr_margin: { type: "number >= 0", default: 0.1, help: "by which a label is to be ahead", value: "C" },
    ldr_normalise: NORMALISE("softplus"),
  },
  rows(rec, { logits, targets, values: { ldr_lambda: lambda, ldr_margin: margin, ldr_normalise: how } }) {
    const scores = scale(rec, normalisedScores(rec, logits, how), 1 / lambda);
    const gap = addScalar(rec, labelGap(rec, scores, targets), margin / lambda);
    return scale(rec, addScalar(rec, softplus(rec, gap), -Math.log(logits.shape[1]!)), lambda);
  },
});
