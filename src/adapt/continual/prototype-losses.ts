/**
 * Losses that learn features and a prototype for every class, all of unit length, from a batch as a whole. Asadi et al.
 * (PRD), ICML 2023, https://arxiv.org/abs/2303.14771
 */
import { contrastive } from "../../run/training/contrastive.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, mul, neg, scale, stopGradient, sumTo } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { gather } from "../../tensor/ops/gather.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

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
