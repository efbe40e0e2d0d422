/**
 * Attention over keys and values of earlier tokens, for decoding. Forward only; entry p of a cache belongs to position
 * p.
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { headFlags } from "./attention-options.ts";

export interface CacheShape {
  readonly batch: number;
  readonly capacity: number;
}

/** Writes x (B * T, W) into the cache (B, capacity, W) at positions (B * T). */
export function cacheWrite(
  rec: Recorder,
  x: Tensor,
  cache: Tensor,
  positions: Tensor,
  { batch, capacity }: CacheShape,
): void {
  const { rows, width: w } = rowsOf(x);
  if (sizeOf(cache.shape) !== batch * capacity * w)
    throw new RangeError(`${cache.label} ${showShape(cache.shape)} does not take ${showShape(x.shape)}`);
  const count = rows * w;
  rec.step({
    kernel: "attention/cache-write",
    bind: { x, positions, cache },
    params: { count, t: rows / batch, w, capacity },
    groups: spanGroups(count),
  });
}

/** q (B * T, H * D) over caches (B, capacity, Hkv * D) -> (B * T, H * D): query i sees entries 0 ... positions[i]. */
export function attentionCached(
  rec: Recorder,
  q: Tensor,
  keys: Tensor,
  values: Tensor,
  positions: Tensor,
  options: CacheShape & {
    readonly heads: number;
    readonly kvHeads: number;
    readonly headDim: number;
    readonly scale?: number;
    readonly window?: number;
    readonly cap?: number;
    readonly sinks?: Tensor;
  },
): Tensor {
  const { batch, capacity, heads, kvHeads, headDim: d, window = 0, scale = 1 / Math.sqrt(d), cap, sinks } = options;
  const t = rowsOf(q).rows / batch;
  const y = rec.scratch(q.shape, "attention over the cache");
  rec.step({
    kernel: "attention/forward",
    flags: [...headFlags(rec, d), "cached", ...(cap ? ["capped"] : []), ...(sinks ? ["sinks"] : [])],
    bind: { q, k: keys, v: values, positions, y, ...(sinks ? { sinks } : {}) },
    params: { t, keys: capacity, heads, group: heads / kvHeads, d, causal: 0, window, scale, cap: cap ?? 0 },
    groups: [Math.ceil(t / 64), heads, batch],
  });
  return y;
}
