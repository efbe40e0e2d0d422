/** Merge jobs over tensors in memory, and what they write. */

import { decodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import { Outlets } from "../../src/merge/job/ordered-writer.ts";
import { mergeTensors } from "../../src/merge/job/run.ts";
import type { JobSettings, ValuedTask } from "../../src/merge/job/task.ts";
import { MergeJob } from "../../src/merge/job/tensor-job.ts";
import { bind } from "../../src/method/bind.ts";
import type { MethodInfo } from "../../src/method/registry.ts";
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
  work: (job: MergeJob<V, undefined>) => Promise<T>,
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
  const values = inputs.values as V;
  const job = new MergeJob({ gpu, task, values, settings, passes, outlet, survey: undefined });
  try {
    const found = await work(job);
    return { found, written: decodeFloats(new Uint8Array(Buffer.concat(parts)), outDtype) };
  } finally {
    outlet.release();
    await job.close();
  }
}

/** The values that a method writes for these tensors. Options that are not given have no value. */
export async function writtenBy(
  gpu: Gpu,
  method: Pick<MergeMethod, "merge"> & MethodInfo,
  inputs: JobInputs<Readonly<Record<string, unknown>>>,
): Promise<Float32Array> {
  const { values } = bind(method, inputs.values ?? {});
  return (await withJob(gpu, { ...inputs, values }, (job) => method.merge(job))).written;
}

/** Merges whole models in memory; gives the bytes of every tensor. */
export async function writtenBytes(
  gpu: Gpu,
  method: MergeMethod,
  tasks: readonly ValuedTask[],
  settings: Partial<JobSettings> = {},
): Promise<Map<string, Uint8Array>> {
  const parts = new Map<string, Uint8Array[]>(tasks.map(({ name }) => [name, []]));
  const write = async (name: string, bytes: Uint8Array) => void parts.get(name)!.push(bytes.slice());
  const all = { seed: 0, compatRounding: false, compatBugs: false, ...settings };
  await mergeTensors({ gpu, method, tasks, sink: { write }, settings: all });
  return new Map([...parts].map(([name, list]) => [name, new Uint8Array(Buffer.concat(list))]));
}
