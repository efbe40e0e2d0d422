/**
 * How far a classifier's mean probabilities of groups of rows are from those of all rows, as a loss of a batch:
 *
 *   L = mean over groups g, classes c and both signs of relu(+-(mu_gc - mu_c))^2
 *
 * mu_c the mean probability of class c over the rows that are compared, mu_gc over those of group g: all rows for
 * demographic parity, those of one label at a time for equalised odds.
 */
import type { ExampleBatch } from "../../data/batch.ts";
import { square } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { sum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export type Fairness = "parity" | "odds";

export interface Compared {
  readonly fairness: Fairness;
  readonly groups: number;
  readonly classes: number;
}

/** Rows of the matrix that `contrasts` gives. */
export const contrastCount = ({ fairness, groups, classes }: Compared): number =>
  fairness === "parity" ? groups : groups * classes;

/**
 * (R, B): every row takes the mean over some rows of the batch from the mean over those of one group among them, scaled
 * so that the squares of what it gives of the probabilities add up to L. Rows are 0 of groups that are not there.
 */
export function contrasts(
  { labels, tasks, rows }: Pick<ExampleBatch, "labels" | "tasks" | "rows">,
  compared: Compared,
): Float32Array {
  const { fairness, groups, classes } = compared;
  const matrix = new Float32Array(contrastCount(compared) * rows);
  const every = Array.from({ length: rows }, (_, i) => i);
  const sets =
    fairness === "parity" ? [every] : Array.from({ length: classes }, (_, c) => every.filter((i) => labels[i] === c));
  const found: { readonly at: number; readonly own: readonly number[]; readonly all: readonly number[] }[] = [];
  for (const [s, all] of sets.entries())
    for (let g = 0; g < groups; g++) {
      const own = all.filter((i) => tasks[i] === g);
      if (own.length > 0) found.push({ at: (s * groups + g) * rows, own, all });
    }
  const size = 1 / Math.sqrt(2 * Math.max(1, found.length) * classes);
  for (const { at, own, all } of found) {
    for (const i of all) matrix[at + i]! -= size / all.length;
    for (const i of own) matrix[at + i]! += size / own.length;
  }
  return matrix;
}

/** L (1), from logits (B, C) and contrasts (R, B). */
export const gapLoss = (rec: Recorder, logits: Tensor, matrix: Tensor): Tensor =>
  sum(rec, square(rec, linear(rec, matrix, softmax(rec, logits), { transposed: true })));
