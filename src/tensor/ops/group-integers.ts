/** Weights as they come back from integers of a few bits with zero points, to nearest, whose number of bits is data. */
import { foldGroups, LANES } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, type Tensor } from "../tensor.ts";

/**
 * W (rows, columns) in f32, rounded in groups of so many columns of a row (the last may be shorter) to integers from 0
 * to `top` (1), which a run may change: s (clip(round(w / s) + z, 0, top) - z), of the range of the group with 0 in it.
 * The gradient goes straight through to W. Throws RangeError for another shape of `top`.
 */
export function groupIntegers(
  rec: Recorder,
  w: Tensor,
  { top, group: most }: { readonly top: Tensor; readonly group: number },
): Tensor {
  expectShape(top, [1], "largest integer");
  const { rows, width: columns } = rowsOf(w);
  const group = Math.min(most, columns);
  const groups = Math.ceil(columns / group);
  const y = rec.result(w.shape, [w], `${w.label} in integers`);
  rec.step({
    kernel: "number-format/group-integers",
    flags: w.dtype === "bf16" ? ["weight_bf16"] : [],
    bind: { w, top, y },
    params: { rows, columns, group, groups },
    groups: foldGroups(Math.ceil((rows * groups) / LANES)),
  });
  rec.onBackward(y, (dy) => rec.addGradient(w, dy));
  return y;
}

/** `x` rounded to the nearest integer, the even one of two. */
function nearest(x: number): number {
  const low = Math.floor(x);
  const over = x - low;
  return over > 0.5 || (over === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/** The same on the host, in place, of whole rows of so many columns; f32 after every operation. */
export function roundInGroups(
  values: Float32Array,
  { columns, bits, group }: { readonly columns: number; readonly bits: number; readonly group: number },
): void {
  const f32 = Math.fround;
  const top = 2 ** bits - 1;
  for (let start = 0; start < values.length; start += columns) {
    for (let first = start; first < start + columns; first += group) {
      const own = values.subarray(first, Math.min(first + group, start + columns));
      const lo = own.reduce((a, x) => Math.min(a, x), 0);
      const hi = own.reduce((a, x) => Math.max(a, x), 0);
      const s = Math.max(f32(f32(hi - lo) / top), 2 ** -126);
      const z = Math.min(top, Math.max(0, nearest(f32(-lo / s))));
      for (const [k, x] of own.entries()) own[k] = s * (Math.min(top, Math.max(0, nearest(f32(x / s)) + z)) - z);
    }
  }
}
