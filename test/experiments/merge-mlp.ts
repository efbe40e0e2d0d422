/** Merges perceptrons of experiments through the real methods. */
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import { type ArrayMerge, mergeArrays } from "../merge/merge-arrays.ts";
import { type Example, type Mlp, tensorsOf } from "./support.ts";

/** `withBase` off leaves the base out, for methods that take none. */
export async function mergeMlp(
  gpu: Gpu,
  method: MergeMethod,
  base: Mlp,
  models: readonly Mlp[],
  options: ArrayMerge & { withBase?: boolean } = {},
): Promise<Mlp> {
  const { withBase = true, ...rest } = options;
  const tensors = tensorsOf(base, models).map(({ base: origin, ...tensor }) =>
    withBase ? { ...tensor, base: origin } : tensor,
  );
  return base.with((await mergeArrays(gpu, method, tensors, rest)).values);
}

/** Mean accuracy over tasks, each among its own classes. */
export function meanAccuracy(
  model: Mlp,
  tests: readonly (readonly Example[])[],
  groups: readonly (readonly number[])[],
) {
  return tests.reduce((sum, test, k) => sum + model.accuracy(test, groups[k]) / tests.length, 0);
}
