/** What is logged of pairs of answers. */
import { isPositive } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

/** (n, 1) as (n). */
export const flat = (rec: Recorder, x: Tensor): Tensor => rec.reshape(x, [sizeOf(x.shape)]);

/** Of how far apart both answers are, (P): how far, and whether the right one is ahead. */
export const pairMetrics = (rec: Recorder, apart: Tensor): Record<string, Tensor> => ({
  accuracy: isPositive(rec, apart),
  margin: apart,
});
