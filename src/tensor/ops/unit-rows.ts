/** Rows at length 1. */
import type { Recorder } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";
import { addScalar, div, sqrt, square } from "./elementwise.ts";
import { rowSum } from "./reduce.ts";

/** Rows at length 1: (N, C); a row of zeros stays. */
export function unitRows(rec: Recorder, x: Tensor): Tensor {
  const [n = 0] = x.shape;
  const length = sqrt(rec, addScalar(rec, rowSum(rec, square(rec, x)), 1e-24)); // (N)
  return div(rec, x, rec.reshape(length, [n, 1]));
}
