/**
 * Losses of rows without labels, (B) each, from logits (B, K). What the teacher says takes no gradient.
 *
 *   H(p)         -sum p log p
 *   CE(q, p)     -sum q log p
 *   SCE(q, p)    half of CE(q, p) and half of CE(p, q): unlike CE alone its gradients are no larger for unsure rows.
 *                Wang et al., ICCV 2019, https://arxiv.org/abs/1908.06112, in equal parts as in Döbler et al., 2023
 */
import { add, mul, scale, stopGradient } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { contrastive, positivesOf, unitRows } from "../training/contrastive.ts";

/** Entropy of every row. */
export const entropyOf = (rec: Recorder, logits: Tensor): Tensor =>
  rowSum(rec, mul(rec, softmax(rec, logits), logSoftmax(rec, logits)), -1);

/** Cross-entropy against the teacher's probabilities. */
export const softCrossEntropy = (rec: Recorder, teacher: Tensor, logits: Tensor): Tensor =>
  rowSum(rec, mul(rec, softmax(rec, stopGradient(rec, teacher)), logSoftmax(rec, logits)), -1);

/** Symmetric cross-entropy of the teacher and the student. */
export function symmetricCrossEntropy(rec: Recorder, teacher: Tensor, logits: Tensor): Tensor {
  const back = mul(rec, softmax(rec, logits), logSoftmax(rec, stopGradient(rec, teacher)));
  return add(rec, scale(rec, softCrossEntropy(rec, teacher, logits), 0.5), scale(rec, rowSum(rec, back, -1), 0.5));
}

/** Parts of equal rows (B, C) one below the other: sums of products with matrices that place their rows. */
function stacked(rec: Recorder, parts: readonly Tensor[], rows: number): Tensor {
  const placed = parts.map((part, at) => {
    const places = new Float32Array(parts.length * rows * rows);
    for (let row = 0; row < rows; row++) places[(at * rows + row) * rows + row] = 1;
    const matrix = rec.constant(places, [parts.length * rows, rows], `places of part ${at}`);
    return linear(rec, matrix, part, { transposed: true });
  });
  return placed.reduce((sum, part) => add(rec, sum, part));
}

/**
 * Contrastive loss of views of the same rows, (B, C) each: every vector is to be like the others of its row, and unlike
 * all of other rows. One loss for each of all vectors, (views * B).
 */
export function viewContrast(rec: Recorder, views: readonly Tensor[], temperature: number): Tensor {
  const rows = views[0]!.shape[0]!;
  const positives = positivesOf(views.flatMap(() => Array.from({ length: rows }, (_, i) => i)));
  const count = views.length * rows;
  const shares = rec.constant(positives, [count, count], "views of one row");
  const units = views.map((view) => unitRows(rec, view));
  return contrastive(rec, stacked(rec, units, rows), shares, temperature);
}
