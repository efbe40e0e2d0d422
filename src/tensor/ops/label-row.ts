/** Labels as rows of numbers. */
import type { Recorder } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";
import { embedding } from "./embedding.ts";

/** A row for each label, 1 at its class and 0 elsewhere; 0 throughout of a label below 0. (B) -> (B, classes) */
export function labelRow(rec: Recorder, targets: Tensor, classes: number): Tensor {
  const unit = Float32Array.from({ length: classes * classes }, (_, i) => (i % (classes + 1) === 0 ? 1 : 0));
  return embedding(rec, targets, rec.constant(unit, [classes, classes], "classes"));
}
