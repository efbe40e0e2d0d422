/** Merges tensors that are plain arrays, for tests of methods: in-memory entries in, f32 values and raw bytes out. */
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import type { ChunkSizes, ValuedTask } from "../../src/merge/job/task.ts";
import type { OperandDtype } from "../../src/tensor/load.ts";
import { entryOf } from "../support/entry.ts";
import { writtenBytes } from "../support/job.ts";

export interface ArrayTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly base?: ArrayLike<number>;
  readonly models: readonly ArrayLike<number>[];
  readonly depth?: number;
  readonly layer?: number;
}

export interface ArrayMerge extends ChunkSizes {
  readonly values?: Readonly<Record<string, unknown>>;
  /** One record per model; or one for all. */
  readonly perModel?: readonly Readonly<Record<string, unknown>>[];
  readonly inDtype?: Dtype;
  readonly outDtype?: Dtype;
  readonly workDtype?: OperandDtype;
  readonly seed?: number;
  readonly compatBugs?: boolean;
  readonly remark?: (what: string, tensor: string) => void;
}

const defaults = (method: MergeMethod, perModel: boolean) =>
  Object.fromEntries(
    Object.entries(method.options)
      .filter(([, spec]) => (spec.per === "model") === perModel && spec.default !== undefined)
      .map(([name, spec]) => [name, spec.default]),
  );

export interface Merged {
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/** Runs a method over all tensors as a whole model; options that are not given have their defaults. */
export async function mergeArrays(
  gpu: Gpu,
  method: MergeMethod,
  tensors: readonly ArrayTensor[],
  options: ArrayMerge = {},
): Promise<Merged> {
  const { inDtype = "F32", outDtype = "F32", workDtype = "F32", perModel, values, ...settings } = options;
  const tasks = tensors.map(({ name, shape, base, models, depth, layer }): ValuedTask => {
    const entry = (data: ArrayLike<number>) => entryOf(name, inDtype, shape, Float32Array.from(data));
    return {
      ...{ kind: "merge", name, shape, outDtype, workDtype, depth, layer },
      base: base && entry(base),
      models: models.map(entry),
      modelIndex: models.map((_, k) => k),
      values: { ...defaults(method, false), ...values },
      perModel: models.map((_, k) => ({ ...defaults(method, true), ...(perModel?.[k] ?? perModel?.[0]) })),
    };
  });
  const bytes = await writtenBytes(gpu, method, tasks, settings);
  return { bytes, values: new Map([...bytes].map(([name, raw]) => [name, decodeFloats(raw, outDtype)])) };
}

/** One tensor called `w`; returns its merged values. */
export async function mergeOne(
  gpu: Gpu,
  method: MergeMethod,
  tensor: Omit<ArrayTensor, "name"> & { name?: string },
  options: ArrayMerge = {},
): Promise<Float32Array> {
  const name = tensor.name ?? "w";
  return (await mergeArrays(gpu, method, [{ ...tensor, name }], options)).values.get(name)!;
}
