/**
 * Attention over a cache of latent vectors, for decoding: keys and values are never made. With k = W_k c and v = W_v c
 * a head's score q k is (q W_k) c, and its sum of values is W_v times its sum of c. DeepSeek-V2, section 2.1.2,
 * https://arxiv.org/abs/2405.04434. Forward only; entry p of a cache belongs to position p.
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, type Tensor } from "../tensor.ts";
import { joinHeads } from "./heads.ts";
import type { CacheShape } from "./kv-cache.ts";
import { rowWork } from "./reduce.ts";

export interface LatentHeads {
  readonly heads: number;
  /** Width of the latent vector. */
  readonly rank: number;
  /** Values of a head's q and k that do not turn, and that do. */
  readonly still: number;
  readonly turning: number;
  /** Values of a head's v. */
  readonly values: number;
  readonly scale: number;
}

interface Block {
  readonly x: Tensor;
  /** Columns of a head in x, of which the first `depth` are used. */
  readonly width: number;
  readonly depth: number;
  readonly out: number;
  /** First row of a head in its block of the matrix. */
  readonly first: number;
  readonly across: boolean;
}

/** Columns of every head times its block of `weight` (H * block, R), in f32 or bf16. -> (N, H * out) */
function throughHeads(rec: Recorder, weight: Tensor, { heads, still, values }: LatentHeads, given: Block): Tensor {
  const { x, width, depth, out, first, across } = given;
  const { rows } = rowsOf(x);
  const y = rec.scratch([rows, heads * out], `heads of ${weight.label}`);
  const count = rows * heads * out;
  rec.step({
    kernel: "latent/through-heads",
    flags: [...(across ? ["across"] : []), ...(weight.dtype === "bf16" ? ["bf16"] : [])],
    bind: { x, w: weight, y },
    params: { count, heads, x_width: width, depth, out, block: still + values, first },
    groups: spanGroups(count),
  });
  return y;
}

/**
 * q (N, H [still, not read]) and the part of it that turned, (N, H * turning), over a cache (B, capacity, rank +
 * turning) of normalised latent vectors and turned parts of keys -> (N, H * values). `weight` is that of the layer that
 * makes a head's [still, values] of a latent vector, (H * (still + values), rank).
 */
export function latentAttention(
  rec: Recorder,
  { q, turned, weight, cache, positions }: Readonly<Record<"q" | "turned" | "weight" | "cache" | "positions", Tensor>>,
  sizes: LatentHeads,
  { batch, capacity }: CacheShape,
): Tensor {
  const { heads, rank, still, turning, values, scale } = sizes;
  const { rows } = rowsOf(q);
  const width = rank + turning;
  const t = rows / batch;
  expectShape(weight, [heads * (still + values), rank], "latent attention");
  expectShape(q, [rows, heads * (still + turning)], "latent attention");
  const own = { x: q, width: still + turning, depth: still, out: rank, first: 0, across: false };
  const query = joinHeads(rec, heads, width, [
    { x: throughHeads(rec, weight, sizes, own), width: rank, first: 0, columns: rank },
    { x: turned, width: turning, first: 0, columns: turning },
  ]);
  const shares = rec.scratch([rows, heads, capacity], "shares of a latent cache");
  const scores = rows * heads * capacity;
  rec.step({
    kernel: "latent/scores-of",
    bind: { q: query, cache, positions, scores: shares },
    params: { count: scores, t, heads, width, capacity, scale },
    groups: spanGroups(scores),
  });
  rec.step({
    kernel: "latent/softmax",
    bind: { positions, scores: shares },
    params: { rows: rows * heads, heads, capacity },
    ...rowWork(rec, rows * heads, capacity),
  });
  const mixed = rec.scratch([rows, heads * rank], "mixed latent vectors");
  const count = rows * heads * rank;
  rec.step({
    kernel: "latent/mix-entries",
    bind: { shares, cache, positions, y: mixed },
    params: { count, t, heads, width, rank, capacity },
    groups: spanGroups(count),
  });
  return throughHeads(rec, weight, sizes, {
    ...{ x: mixed, width: rank, depth: rank, out: values, first: still, across: true },
  });
}
