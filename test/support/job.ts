/** Merge jobs over tensors in memory, and what they write. */

import { decodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { Outlets } from "../../src/merge/job/ordered-writer.ts";
import { type JobSettings, MergeJob } from "../../src/merge/job/tensor-job.ts";
import type { OperandDtype } from "../../src/tensor/load.ts";
import { entryOf } from "./entry.ts";

export interface JobInputs<V> {
  readonly models: readonly Float32Array[];
  readonly base?: Float32Array;
  readonly values?: V;
  /** Type of the inputs, F32 when left out. */
  readonly dtype?: Dtype;
  /** Type of the output, F32 when left out. */
  readonly outDtype?: Dtype;
  readonly workDtype?: OperandDtype;
  /** One row of all values when left out. */
  readonly shape?: readonly number[];
  readonly name?: string;
  /** "one": chunks are dropped after each pass and loaded again. */
  readonly passes?: "one" | "many";
  readonly settings?: Partial<JobSettings>;
}

/** Runs `work` on a job over these tensors; resolves to what it returns and to the values that the job wrote. */
export async function withJob<V, T>(
  gpu: Gpu,
  inputs: JobInputs<V>,
  work: (job: MergeJob<V>) => Promise<T>,
): Promise<{ found: T; written: Float32Array }> {
  const { models, base, dtype = "F32", outDtype = "F32", name = "w", passes = "many" } = inputs;
  const shape = inputs.shape ?? [models[0]!.length];
  const parts: Uint8Array[] = [];
  const outlets = new Outlets(gpu, {
    async write(_name, bytes) {
      parts.push(bytes.slice());
    },
  });
  const task = {
    name,
    shape,
    outDtype,
    workDtype: inputs.workDtype ?? "F32",
    base: base && entryOf(name, dtype, shape, base),
    models: models.map((values) => entryOf(name, dtype, shape, values)),
    modelIndex: models.map((_, index) => index),
  };
  const settings = { seed: 0, compatRounding: false, compatBugs: false, ...inputs.settings };
  const outlet = outlets.next();
  const job = new MergeJob<V>(gpu, task, inputs.values as V, settings, passes, outlet);
  try {
    const found = await work(job);
    return { found, written: decodeFloats(new Uint8Array(Buffer.concat(parts)), outDtype) };
  } finally {
    outlet.release();
    await job.close();
  }
}
