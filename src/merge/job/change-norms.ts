/**
 * How much a merge changes its base, measured before it is written: the merge runs once more, as f32, and its values go
 * nowhere.
 */
import { patchedValues } from "../../checkpoint/adapter/adapter.ts";
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import type { ChangeNorms } from "../post-step.ts";
import type { TensorSink } from "./ordered-writer.ts";
import { type MergeRun, mergeTensors } from "./run.ts";
import type { MergeTask } from "./task.ts";

/** Values of a stretch of a tensor; of one with an adapter's part, which is small, the whole is held. */
class Stretches {
  readonly #entry: TensorEntry;
  #whole: Float32Array | undefined;

  constructor(entry: TensorEntry) {
    this.#entry = entry;
  }

  async read(start: number, count: number): Promise<Float32Array> {
    const { dtype, patch } = this.#entry;
    if (patch) {
      this.#whole ??= await patchedValues(this.#entry);
      return this.#whole.subarray(start, start + count);
    }
    const width = DTYPE_BYTES[dtype];
    const bytes = new Uint8Array(count * width);
    await this.#entry.read(bytes, start * width);
    return decodeFloats(bytes, dtype);
  }
}

/** Adds up |merged - base| and |sum of the models' changes| as f32 values arrive, in f64. */
class Measure implements TensorSink {
  readonly #tasks: ReadonlyMap<string, MergeTask>;
  #at = { name: "", start: 0, base: undefined as Stretches | undefined, models: [] as Stretches[] };
  summed = 0;
  merged = 0;

  constructor(tasks: readonly MergeTask[]) {
    this.#tasks = new Map(tasks.map((task) => [task.name, task]));
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    if (name !== this.#at.name) {
      const { base, models } = this.#tasks.get(name)!;
      this.#at = { name, start: 0, base: new Stretches(base!), models: models.map((model) => new Stretches(model)) };
    }
    const { start, base, models } = this.#at;
    const values = decodeFloats(bytes, "F32");
    this.#at.start += values.length;
    const before = await base!.read(start, values.length);
    const sums = new Float64Array(values.length);
    for (const model of models) {
      const own = await model.read(start, values.length);
      for (let i = 0; i < sums.length; i++) sums[i]! += own[i]! - before[i]!;
    }
    for (let i = 0; i < sums.length; i++) {
      this.summed += Math.abs(sums[i]!);
      this.merged += Math.abs(values[i]! - before[i]!);
    }
  }
}

/**
 * l1 norms of a merge's change, over the tensors that are merged onto a base of their own size. Host memory: a chunk of
 * every input.
 */
export async function changeNorms(run: Omit<MergeRun, "sink" | "done">): Promise<ChangeNorms> {
  const { tasks, elsewhere = [] } = run;
  const measured = [...tasks, ...elsewhere]
    .filter(({ kind, base, crop }) => kind === "merge" && base !== undefined && crop === undefined)
    .map((task) => ({ ...task, outDtype: "F32" as const }));
  const models = measured.reduce((most, task) => Math.max(most, task.models.length), 1);
  const sink = new Measure(measured);
  const names = new Set(measured.map(({ name }) => name));
  const others = [...tasks, ...elsewhere].filter(({ name }) => !names.has(name));
  await mergeTensors({ ...run, tasks: measured, elsewhere: others, sink });
  return { summed: sink.summed, merged: sink.merged, models };
}
