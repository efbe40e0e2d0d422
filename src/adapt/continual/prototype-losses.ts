/**
 * Losses that learn features and a prototype for every class, all of unit length, from a batch as a whole. Asadi et al.
 * (PRD), ICML 2023, https://arxiv.org/abs/2303.14771; the contrastive loss is that of Khosla et al. 2020,
 * https://arxiv.org/abs/2004.11362.
 */

import { divergence } from "../../tensor/ops/divergence.ts";
import { add, mul, neg, scale, stopGradient, sumTo } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { gather } from "../../tensor/ops/gather.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rmsNorm } from "../../tensor/ops/norm.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import { logSoftmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What takes a row's likeness to itself out of a softmax. */
const APART = -1e9;

/** Rows divided by their lengths: (N, C). */
export function unitRows(rec: Recorder, x: Tensor): Tensor {
  const width = x.shape.at(-1)!;
  const weight = rec.constant(new Float32Array(width).fill(1 / Math.sqrt(width)), [width], "unit length");
  return rmsNorm(rec, x, weight, { eps: 1e-12 });
}

/** For each row the shares of the others of its class, (n, n): 1 / |P| for each, none for a row that is alone. */
export function positivesOf(classes: readonly number[]): Float32Array {
  const n = classes.length;
  const shares = new Float32Array(n * n);
  for (const [i, own] of classes.entries()) {
    const others = classes.flatMap((other, j) => (other === own && j !== i ? [j] : []));
    for (const j of others) shares[i * n + j] = 1 / others.length;
  }
  return shares;
}

/**
 * Supervised contrastive loss of every row (n):
 *
 *   -mean_{j in P(i)} log softmax_{j != i}(<z_i, z_j> / tau)
 *
 * z: unit features (n, C); positives: (n, n), of `positivesOf`. A row without positives has loss 0.
 */
export function contrastive(rec: Recorder, z: Tensor, positives: Tensor, tau: number): Tensor {
  const n = z.shape[0]!;
  const own = Float32Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 0 ? APART : 0));
  const apart = rec.constant(own, [n, n], "a row itself");
  const likeness = add(rec, linear(rec, z, z, { scale: 1 / tau }), apart);
  return neg(rec, rowSum(rec, mul(rec, positives, logSoftmax(rec, likeness))));
}

/** Rows a (n, C), and b (m, C) after them: (n + m, C). */
export function stacked(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const [n, m] = [a.shape[0]!, b.shape[0]!];
  const part = (x: Tensor, start: number, count: number, label: string): Tensor => {
    const isOwn = (i: number) => i >= start && i < start + count;
    const places = Int32Array.from({ length: n + m }, (_, i) => (isOwn(i) ? i - start : 0));
    const shares = Float32Array.from({ length: n + m }, (_, i) => (isOwn(i) ? 1 : 0));
    const rows = embedding(rec, rec.constant(places, [n + m], label), x);
    return mul(rec, rows, rec.constant(shares, [n + m, 1], label));
  };
  return add(rec, part(a, 0, n, "first rows"), part(b, n, m, "second rows"));
}

/**
 * The contrastive loss of two views of each row, (n): the mean of those of its views, among the 2n views of all rows.
 * positives: (2n, 2n), of `positivesOf` for the classes twice.
 */
export function contrastiveViews(rec: Recorder, a: Tensor, b: Tensor, positives: Tensor, tau: number): Tensor {
  const n = a.shape[0]!;
  const losses = contrastive(rec, stacked(rec, a, b), positives, tau);
  return rec.reshape(scale(rec, sumTo(rec, rec.reshape(losses, [2, n]), [1, n]), 0.5), [n]);
}

/** -<c_y, z> of every row (n): draws prototypes (K, C) to the features of their classes, and no feature to them. */
export function prototypePull(rec: Recorder, z: Tensor, prototypes: Tensor, targets: Tensor): Tensor {
  const likeness = linear(rec, stopGradient(rec, z), prototypes);
  const n = z.shape[0]!;
  const places = rec.reshape(targets, [n, 1]);
  return neg(rec, rec.reshape(gather(rec, likeness, places), [n]));
}

/** Features and prototypes, of unit length. */
export interface Related {
  readonly z: Tensor;
  readonly prototypes: Tensor;
}

/**
 * How the new rows lie around each old prototype, against how they lay around it before: (1).
 *
 *   sum_k share_k KL(softmax_i(<c_k, z_i> / tau) of before || now)
 *
 * over the rows i of the batch. `shares` (K): 1 / number of old classes, 0 for others. No gradient goes to `before`.
 */
export function relationDrift(rec: Recorder, now: Related, before: Related, shares: Tensor, tau: number): Tensor {
  const around = ({ z, prototypes }: Related) => linear(rec, prototypes, z, { scale: 1 / tau });
  const old = stopGradient(rec, around(before));
  const k = old.shape[0]!;
  const counted = rec.constant(new Int32Array(k), [k], "every class");
  return dot(rec, divergence(rec, around(now), old, counted, { kind: "forward-kl" }), shares);
}

/** A loss of the batch (1) as a loss of every one of n rows, whose mean it is. */
export const onEveryRow = (rec: Recorder, loss: Tensor, n: number): Tensor =>
  add(rec, rec.constant(new Float32Array(n), [n], "of every row"), loss);
