/**
 * Supervised contrastive loss over the rows of a batch. Khosla et al., NeurIPS 2020, https://arxiv.org/abs/2004.11362
 */
import { add, mul, neg } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rmsNorm } from "../../tensor/ops/norm.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
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
