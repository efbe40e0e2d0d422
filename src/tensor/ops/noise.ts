/** Standard normal values that differ from run to run. */
import { spanGroups } from "../../gpu/grid.ts";
import { dynamic, type Recorder } from "../recorder.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { scale, stopGradient } from "./elementwise.ts";

/** Values of the shape of `x`, by (key, dynamic "seed", place): the same where they are recorded anew. No gradient. */
export function normalNoise(rec: Recorder, x: Tensor, key: string): Tensor {
  const y = scale(rec, stopGradient(rec, x), 0);
  const n = sizeOf(x.shape);
  rec.step({
    kernel: "training/add-noise",
    bind: { y },
    params: { n, sigma: 1, key: Bun.hash.xxHash32(key), seed: dynamic("seed") },
    groups: spanGroups(n),
  });
  return y;
}
