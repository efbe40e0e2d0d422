/** Values of rows at places of the last dimension, such as the log-probabilities of labels. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";

/**
 * y[..., k] = x[..., place[..., k]]: x (..., C), places (..., K) i32 -> (..., K). A place outside of the row gives 0
 * and takes no gradient.
 */
export function gather(rec: Recorder, x: Tensor, place: Tensor): Tensor {
  const { rows: n, width: c } = rowsOf(x);
  const { rows, width: k } = rowsOf(place);
  if (rows !== n) throw new RangeError(`${n} rows of values for ${showShape(place.shape)} places`);
  const y = rec.result(place.shape, [x], `some of ${x.label}`);
  rec.step({
    kernel: "gather/gather",
    bind: { x, place, y },
    params: { count: n * k, c, k },
    groups: spanGroups(n * k),
  });
  rec.onBackward(y, (dy) => gatherGradient(rec, x, place, dy));
  return y;
}

/** Appends the gradient of taking x (N, C) at places (N, K). */
export function gatherGradient(rec: Recorder, x: Tensor, place: Tensor, dy: Tensor): void {
  const { into, accumulate } = rec.gradient(x);
  const count = sizeOf(x.shape);
  const { rows: n, width: c } = rowsOf(x);
  rec.step({
    kernel: "gather/gather-gradient",
    bind: { dy, place, dx: into },
    params: { count, c, k: sizeOf(place.shape) / n, accumulate },
    groups: spanGroups(count),
  });
}
