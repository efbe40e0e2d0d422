/** What losses of labels share: scores that are normalised, and numbers of labels. */
import { abs, addScalar, div } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { softplus } from "../../tensor/ops/label-gap.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export type Normalisation = "none" | "mean-size" | "softplus";

export const NORMALISE = <const D extends Normalisation>(value: D) =>
  ({
    type: "'none' | 'mean-size' | 'softplus'",
    default: value,
    help: "what is done to logits first: divided by their mean size, or made positive by softplus and divided by their mean",
  }) as const;

/** Keeps a division by the size of logits that are all 0 finite. */
const EPSILON = 1e-8;

/** Scores (N, V) whose mean size over a row is 1, or the logits as they are. */
export function normalisedScores(rec: Recorder, logits: Tensor, how: Normalisation): Tensor {
  if (how === "none") return logits;
  const [n = 0, v = 1] = logits.shape;
  const scores = how === "softplus" ? softplus(rec, logits) : logits;
  const sizes = how === "softplus" ? scores : abs(rec, scores);
  return div(rec, scores, rec.reshape(addScalar(rec, rowSum(rec, sizes, 1 / v), EPSILON), [n, 1]));
}

/** The number of each row's label (N), of one for each label. */
export function ofLabel(rec: Recorder, numbers: readonly number[], targets: Tensor): Tensor {
  const table = rec.constant(Float32Array.from(numbers), [numbers.length, 1], "numbers of labels");
  return rec.reshape(embedding(rec, targets, table), targets.shape);
}

/**
 * One over the effective number of a label's rows (1 - b^n) / (1 - b), or over their number where there is no `beta`;
 * the mean over labels that come is 1. A label that never comes weighs nothing.
 */
export function labelWeights(counts: readonly number[], beta?: number): number[] {
  const raw = counts.map((n) => (n === 0 ? 0 : beta === undefined ? 1 / n : (1 - beta) / (1 - beta ** n)));
  const known = counts.filter((n) => n > 0).length;
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((w) => (w * known) / sum);
}
