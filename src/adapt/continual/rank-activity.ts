/** How often each rank of an adapter counts on rows: for the dropping of ranks that no input calls. */
import { batchKey } from "../../data/batch.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import { type RankChoice, rankWeights } from "../../model/adapters/rank-weights.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { maskOf } from "../../run/gram/gram-matrices.ts";
import { Programs } from "../../run/programs.ts";
import { clamp, mul, scale } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { columnSums } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import type { Stream } from "./contract.ts";
import type { RowRef } from "./rows.ts";

/** The ranks of one layer. */
export interface LayerRanks {
  readonly module: string;
  /** (R, in) */
  readonly a: Parameter;
  /** (R) */
  readonly tag: Parameter;
}

/** Turns any weight that counts into one beyond 1. */
const STEEP = 1e30;

/** Recording of what the layers read: adds, by rank, the rows for which it counts. */
function observer(
  rec: Recorder,
  layers: ReadonlyMap<string, LayerRanks & { readonly sums: PooledBuffer }>,
  choice: Omit<RankChoice, "tag">,
  mask: Tensor | undefined,
) {
  return (module: string, x: Tensor): void => {
    const own = layers.get(module);
    if (!own) return;
    const { rows, width } = rowsOf(x);
    const activations = linear(rec, rec.reshape(x, [rows, width]), rec.parameter(own.a)); // (N, R)
    const weights = rankWeights(rec, activations, { ...choice, tag: rec.parameter(own.tag) });
    const counts = clamp(rec, scale(rec, weights, STEEP), 0, 1);
    const kept = mask?.shape[0] === rows ? mul(rec, counts, mask) : counts;
    const into = rec.state(`ranks of ${module}`, [own.a.shape[0]!], own.sums.buffer);
    columnSums(rec, kept, { into, accumulate: 1 });
  };
}

/** The share of tokens (or examples) for which each rank counts, by module. */
export async function rankActivity(
  { model, gpu, rows, batchSize, signal }: Pick<Stream<unknown>, "model" | "gpu" | "rows" | "batchSize" | "signal">,
  refs: readonly RowRef[],
  layers: readonly LayerRanks[],
  choice: Omit<RankChoice, "tag">,
): Promise<Map<string, Float32Array>> {
  const held = new Map(
    layers.map((layer) => {
      const sums = gpu.buffer(Math.max(16, 4 * layer.tag.size), `ranks of ${layer.module}`);
      gpu.clear(sums.buffer, Math.max(16, 4 * layer.tag.size));
      return [layer.module, { ...layer, sums }] as const;
    }),
  );
  const programs = new Programs(gpu);
  let counted = 0;
  try {
    for (let at = 0; at < refs.length; at += batchSize) {
      signal.throwIfAborted();
      const { batch } = rows.plain(refs.slice(at, at + batchSize));
      const padded = maskOf(batch);
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const mask = padded && rec.input("mask", [padded.length, 1]);
        const { hidden } = model.record(rec, recordInputs(rec, batch), {
          observe: observer(rec, held, choice, mask),
        });
        rec.output("last", hidden);
      });
      fillInputs(program, batch);
      if (padded && program.takes("mask")) program.write("mask", padded);
      program.run();
      counted += padded ? padded.reduce((a, b) => a + b, 0) : batch.rows;
    }
    const found = new Map<string, Float32Array>();
    for (const [module, { sums, tag }] of held)
      found.set(
        module,
        (await gpu.readFloats(sums.buffer, tag.size)).map((sum) => sum / Math.max(1, counted)),
      );
    return found;
  } finally {
    programs.free();
    for (const { sums } of held.values()) sums.free();
  }
}
