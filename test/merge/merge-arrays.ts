/**
 * Merges tensors that are plain arrays, for tests of methods: in-memory entries in, f32 values and raw bytes out.
 */
import type { TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import { mergeTensors, type ValuedTask } from "../../src/merge/job/run.ts";

export interface ArrayTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly base?: ArrayLike<number>;
  readonly models: readonly ArrayLike<number>[];
  readonly depth?: number;
  readonly layer?: number;
}

export interface ArrayMerge {
  readonly values?: Readonly<Record<string, unknown>>;
  /** One record per model; or one for all. */
  readonly perModel?: readonly Readonly<Record<string, unknown>>[];
  readonly inDtype?: Dtype;
  readonly outDtype?: Dtype;
  readonly seed?: number;
  readonly chunkValues?: number;
}

/** An entry whose bytes are values in memory. */
export function arrayEntry(
  name: string,
  shape: readonly number[],
  values: ArrayLike<number>,
  dtype: Dtype = "F32",
): TensorEntry {
  const bytes = encodeFloats(Float32Array.from(values), dtype);
  return {
    name,
    dtype,
    shape,
    bytes: bytes.byteLength,
    read: async (into, offset) => into.set(bytes.subarray(offset, offset + into.byteLength)),
  };
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
export async function mergeArrays<M>(
  gpu: Gpu,
  method: M,
  tensors: readonly ArrayTensor[],
  options: ArrayMerge = {},
): Promise<Merged> {
  const { inDtype = "F32", outDtype = "F32", perModel, values, seed = 0, chunkValues } = options;
  const plain = method as unknown as MergeMethod;
  const tasks = tensors.map((tensor): ValuedTask => {
    const { name, shape, base, models, depth, layer } = tensor;
    return {
      kind: "merge",
      name,
      shape,
      outDtype,
      workDtype: "F32",
      base: base && arrayEntry(name, shape, base, inDtype),
      models: models.map((model) => arrayEntry(name, shape, model, inDtype)),
      modelIndex: models.map((_, k) => k),
      depth,
      layer,
      values: { ...defaults(plain, false), ...values },
      perModel: models.map((_, k) => ({ ...defaults(plain, true), ...(perModel?.[k] ?? perModel?.[0]) })),
    };
  });
  const parts = new Map<string, Uint8Array[]>(tensors.map(({ name }) => [name, []]));
  const write = async (name: string, part: Uint8Array) => {
    parts.get(name)!.push(part.slice());
  };
  const settings = { seed, compatRounding: false, compatBugs: false, ...(chunkValues && { chunkValues }) };
  await mergeTensors({ gpu, method: plain, tasks, sink: { write }, settings });
  const bytes = new Map<string, Uint8Array>();
  for (const [name, list] of parts) bytes.set(name, new Uint8Array(Buffer.concat(list)));
  const floats = new Map<string, Float32Array>();
  for (const [name, raw] of bytes) floats.set(name, decodeFloats(raw, outDtype));
  return { values: floats, bytes };
}

/** One tensor called `w`; returns its merged values. */
export async function mergeOne<M>(
  gpu: Gpu,
  method: M,
  tensor: Omit<ArrayTensor, "name"> & { name?: string },
  options: ArrayMerge = {},
): Promise<Float32Array> {
  const name = tensor.name ?? "w";
  return (await mergeArrays(gpu, method, [{ ...tensor, name }], options)).values.get(name)!;
}
