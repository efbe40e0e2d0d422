/** Means of what linear layers read, over the tokens (without padding) or the examples of batches. */
import type { Batch } from "../../data/batch.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Model } from "../../model/model.ts";
import { mul } from "../../tensor/ops/elementwise.ts";
import { columnSums } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import { maskOf } from "./gram-matrices.ts";

interface Sums {
  readonly width: number;
  readonly memory: PooledBuffer;
}

/** Records a forward pass that adds to the sums of the modules that `only` picks. */
function record(rec: Recorder, model: Model, batch: Batch, only: (module: string) => boolean, all: Map<string, Sums>) {
  const { gpu } = model;
  const padded = maskOf(batch);
  const mask = padded && rec.input("mask", [padded.length, 1]);
  const observe = (module: string, x: Tensor): void => {
    if (!only(module)) return;
    const { rows, width } = rowsOf(x);
    let sums = all.get(module);
    if (!sums) {
      sums = { width, memory: gpu.buffer(Math.max(16, 4 * width), `sums of what ${module} reads`) };
      gpu.clear(sums.memory.buffer, Math.max(16, 4 * width));
      all.set(module, sums);
    }
    const flat = rec.reshape(x, [rows, width]);
    const kept = mask && padded.length === rows ? mul(rec, flat, mask) : flat;
    columnSums(rec, kept, { into: rec.state(`sums of ${module}`, [width], sums.memory.buffer), accumulate: 1 });
  };
  const { hidden } = model.record(rec, recordInputs(rec, batch), { observe });
  rec.output("last", hidden);
}

/** The means by module. Sums are f32, on the GPU, in a fixed order. */
export async function measureInputMeans(
  model: Model,
  batches: readonly Batch[],
  { only, signal }: { readonly only: (module: string) => boolean; readonly signal: AbortSignal },
): Promise<Map<string, Float64Array>> {
  const { key } = crossEntropyObjective(model);
  const programs = new Programs(model.gpu);
  const all = new Map<string, Sums>();
  let counted = 0;
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program } = await programs.get(key(batch), (rec) => record(rec, model, batch, only, all));
      fillInputs(program, batch);
      const mask = maskOf(batch);
      if (mask && program.takes("mask")) program.write("mask", mask);
      program.run();
      counted += mask ? mask.reduce((a, b) => a + b, 0) : batch.rows;
    }
    const means = new Map<string, Float64Array>();
    for (const [module, { width, memory }] of all) {
      const sums = await model.gpu.readFloats(memory.buffer, width);
      means.set(
        module,
        Float64Array.from(sums, (sum) => sum / counted),
      );
    }
    return means;
  } finally {
    for (const { memory } of all.values()) memory.free();
    programs.free();
  }
}
