/**
 * Softmax over the last dimension and its logarithm, for graphs that need the distribution itself. Losses over a
 * vocabulary do not: see cross-entropy.ts and divergence.ts, which keep no row of probabilities.
 */
import type { Recorder } from "../recorder.ts";
import { rowsOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

function normalized(rec: Recorder, x: Tensor, inverse: number, logarithm: boolean): Tensor {
  const { rows: n, width: c } = rowsOf(x);
  const work = rowWork(rec, n, c);
  const flags = [...work.flags, ...(logarithm ? ["logarithm"] : [])];
  const y = rec.result(x.shape, [x], logarithm ? "log-softmax" : "softmax");
  rec.step({ kernel: "softmax/forward", bind: { x, y }, params: { n, c, inverse }, ...work, flags });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    const params = { n, c, inverse, accumulate };
    rec.step({ kernel: "softmax/gradient", bind: { y, dy, dx: into }, params, ...work, flags });
  });
  return y;
}

/** softmax(x / temperature): (..., C) -> (..., C). */
export const softmax = (rec: Recorder, x: Tensor, temperature = 1): Tensor =>
  normalized(rec, x, 1 / temperature, false);

/** log softmax(x / temperature): (..., C) -> (..., C). */
export const logSoftmax = (rec: Recorder, x: Tensor, temperature = 1): Tensor =>
  normalized(rec, x, 1 / temperature, true);
