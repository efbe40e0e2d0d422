/**
 * A discrete key-value bottleneck: each of C heads takes the nearest of its K keys, and the values of those keys are
 * averaged. Träuble et al., ICML 2023, https://arxiv.org/abs/2207.11240
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, showShape, sizeOf, type Tensor } from "../tensor.ts";

/** The nearest key of each head, the first of equals: u (N, C, D), keys (C, K, D) -> (N, C) i32. No gradient. */
export function nearestKeys(rec: Recorder, u: Tensor, keys: Tensor): Tensor {
  const [heads = 0, k = 0, width = 0] = keys.shape;
  const n = sizeOf(u.shape) / (heads * width);
  if (!Number.isInteger(n)) throw new RangeError(`${showShape(u.shape)} rows for keys ${showShape(keys.shape)}`);
  const place = rec.scratch([n, heads], "nearest keys", "i32");
  rec.step({
    kernel: "key-value/nearest",
    bind: { u, keys, place },
    params: { count: n * heads, heads, keys: k, width },
    groups: spanGroups(n * heads),
  });
  return place;
}

/** The mean of chosen values: values (V, C, K), place (N, C) i32 -> (N, V). */
export function pooledValues(rec: Recorder, values: Tensor, place: Tensor): Tensor {
  const [outputs = 0, heads = 0, keys = 0] = values.shape;
  const n = place.shape[0] ?? 0;
  expectShape(place, [n, heads], "pooled values");
  const y = rec.result([n, outputs], [values], "pooled values");
  const params = { outputs, heads, keys };
  rec.step({
    kernel: "key-value/pool",
    bind: { values, place, y },
    params: { count: n * outputs, ...params },
    groups: spanGroups(n * outputs),
  });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(values);
    const count = sizeOf(values.shape);
    rec.step({
      kernel: "key-value/pool-gradient",
      bind: { dy, place, dvalues: into },
      params: { count, rows: n, ...params, accumulate },
      groups: spanGroups(count),
    });
  });
  return y;
}
