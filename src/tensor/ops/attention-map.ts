/**
 * The matrix of attention itself, for losses and figures that look at it, and the mean over its heads. Attention
 * proper keeps no such matrix (attention.ts).
 */

import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, type Tensor } from "../tensor.ts";
import { matrixSteps } from "./attention-matrix.ts";
import type { AttentionOptions } from "./attention-options.ts";
import { add, log, scale, sumTo } from "./elementwise.ts";
import { rowMax, rowWork } from "./reduce.ts";

/**
 * q (B * T, H * D), k (B * T, Hkv * D) -> (B, H, T, T): how much of each key a query sees, 0 where it may not;
 * queries of padding see nothing. Kept for the way back, which takes as much again.
 */
export function attentionMap(rec: Recorder, q: Tensor, k: Tensor, options: AttentionOptions): Tensor {
  const { batch, heads, kvHeads, headDim: d } = options;
  const { rows, width } = rowsOf(q);
  const t = rows / batch;
  const agree = width === heads * d && rowsOf(k).width === kvHeads * d && rowsOf(k).rows === rows;
  if (!agree || heads % kvHeads !== 0 || !Number.isInteger(t))
    throw new RangeError(
      `attention map: q ${showShape(q.shape)}, k ${showShape(k.shape)} for ${heads} heads of ${d}, ${kvHeads} key heads, batch ${batch}`,
    );
  const steps = matrixSteps(rec, t, options);
  const p = rec.result([batch, heads, t, t], [q, k], "attention map");
  const lse = rec.scratch([batch, heads, t], "log sums of attention");
  steps.probabilities(q, k, lse, p);
  rec.onBackward(p, (dp) => {
    const ds = rec.scratch(p.shape, "gradient of scores");
    const n = batch * heads * t;
    rec.step({
      kernel: "softmax/gradient",
      bind: { y: p, dy: dp, dx: ds },
      params: { n, c: t, inverse: 1, accumulate: 0 },
      ...rowWork(rec, n, t),
    });
    steps.scoreGradients(ds, q, k, { p, lse });
  });
  return p;
}

/**
 * q (B * T, H * D), k (B * T, Hkv * D) -> (B, H, T): the largest score of every query, as softmax reads it; of queries
 * of padding anything. No gradient. Memory: one matrix of scores.
 */
export function attentionPeaks(rec: Recorder, q: Tensor, k: Tensor, options: AttentionOptions): Tensor {
  const { batch, heads } = options;
  const t = rowsOf(q).rows / batch;
  const p = rec.scratch([batch, heads, t, t], "probabilities of attention");
  const lse = rec.scratch([batch, heads, t], "log sums of attention");
  matrixSteps(rec, t, options).probabilities(q, k, lse, p);
  return add(rec, lse, log(rec, rowMax(rec, p)));
}

/** (B, H, ...) -> (B, ...), at most four dimensions. */
export function headMean(rec: Recorder, x: Tensor): Tensor {
  const [batch = 1, heads = 1, ...rest] = x.shape;
  if (heads === 1) return rec.reshape(x, [batch, ...rest]);
  return scale(rec, rec.reshape(sumTo(rec, x, [batch, 1, ...rest]), [batch, ...rest]), 1 / heads);
}
