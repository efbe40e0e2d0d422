/** Cross-entropy to targets that are made of what a weak teacher says: what losses of strong students share. */
import { addScalar, isPositive, mul, neg, stopGradient } from "../tensor/ops/elementwise.ts";
import { rowMax, rowSum } from "../tensor/ops/reduce.ts";
import { logSoftmax } from "../tensor/ops/softmax.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Leaves rows out of whose label the weak teacher is not sure. */
export const CONFIDENT = {
  type: "0 <= number < 1",
  default: 0,
  help: "rows count where the weak teacher gives its likeliest output more than this; 0.75 keeps what it is sure of",
  value: "P",
} as const;

/**
 * -sum of target log softmax(student), the target held fixed: (n, V) each -> (n); 0 in rows whose likeliest output has
 * no more than `confident` of the weak probabilities.
 */
export function towards(
  rec: Recorder,
  student: Tensor,
  target: Tensor,
  { weak, confident }: { readonly weak: Tensor; readonly confident: number },
): Tensor {
  const losses = neg(rec, rowSum(rec, mul(rec, stopGradient(rec, target), logSoftmax(rec, student))));
  if (confident === 0) return losses;
  return mul(rec, losses, isPositive(rec, addScalar(rec, rowMax(rec, weak), -confident)));
}
