/** Losses of pairs of outputs, in the order in which the teacher has its likeliest. */
import { mul, sub } from "../tensor/ops/elementwise.ts";
import { gather } from "../tensor/ops/gather.ts";
import { rowSum } from "../tensor/ops/reduce.ts";
import { topPlaces } from "../tensor/ops/sorted-gap.ts";
import type { Recorder } from "../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../tensor/tensor.ts";

export const TOP = {
  type: "number.integer >= 2",
  default: 16,
  help: "outputs that are compared in pairs: the teacher's likeliest",
  value: "K",
} as const;

/** How a pair (n, k, k) differs, the likelier of the two less the other, of values (n, k). */
export function differences(rec: Recorder, values: Tensor): Tensor {
  const { rows, width } = rowsOf(values);
  return sub(rec, rec.reshape(values, [rows, width, 1]), rec.reshape(values, [rows, 1, width]));
}

/**
 * Mean over the pairs of the teacher's `top` likeliest outputs of what `loss` (n, k, k) says of a pair whose first is
 * the likelier. `at` reads a row's values (n, V) at these outputs, the likeliest first, as (n, k). -> (n)
 */
export function rankedPairs(
  rec: Recorder,
  teacher: Tensor,
  top: number,
  loss: (at: (values: Tensor) => Tensor) => Tensor,
): Tensor {
  const { rows, width } = rowsOf(teacher);
  const k = Math.min(top, width);
  const places = topPlaces(rec, teacher, k);
  const pairs = (k * (k - 1)) / 2;
  const ahead = Float32Array.from({ length: k * k }, (_, i) =>
    i % k > Math.floor(i / k) ? 1 / Math.max(1, pairs) : 0,
  );
  const each = loss((values) => gather(rec, values, places));
  const counted = mul(rec, each, rec.constant(ahead, [1, k, k], `pairs of ${k}`));
  return rowSum(rec, rec.reshape(counted, [rows, k * k]));
}
