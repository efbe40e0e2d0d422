/** Any merge method over whole models in memory: what it is given when nothing is said, and what it writes. */
import type { TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import type { JobSettings, ValuedTask } from "../../src/merge/job/task.ts";
import type { OptionSpec } from "../../src/method/options.ts";
import { loadMethod, methodNames } from "../../src/method/registry.ts";
import type { OperandDtype } from "../../src/tensor/load.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { entryOf } from "../support/entry.ts";
import { writtenBytes } from "../support/job.ts";
import { normals } from "../support/random.ts";

/** Every merge method with the name of its file, so that a new file is covered as soon as it is there. */
export async function allMethods(): Promise<{ file: string; method: MergeMethod }[]> {
  return Promise.all(methodNames("merge").map(async (file) => ({ file, method: await loadMethod("merge", file) })));
}

/** Values by tensor name. */
export type Model = ReadonlyMap<string, Float32Array>;
export type Shapes = Readonly<Record<string, readonly number[]>>;

/** Odd sizes, one and two axes, two blocks, an embedding and a head. */
export const SHAPES: Shapes = {
  "model.embed_tokens.weight": [7, 5],
  "model.layers.0.mlp.up_proj.weight": [5, 51],
  "model.layers.0.norm.weight": [255],
  "model.layers.1.mlp.up_proj.weight": [5, 51],
  "model.layers.1.norm.weight": [257],
  "model.norm.weight": [3],
  "scale.weight": [1],
  "lm_head.weight": [4, 16],
};

/** A model of normal values. */
export const modelOf = (seed: number, shapes: Shapes = SHAPES, deviation = 1, mean = 0): Model =>
  new Map(
    Object.entries(shapes).map(([name, shape], i) => [name, normals(100 * seed + i, sizeOf(shape), deviation, mean)]),
  );

/** Where Gram matrices lie for the tensors of a checkpoint beside the models. */
export const gramFile = (side: string): string => side.replace(/\.safetensors$/, ".gram.safetensors");

/** What a test or a user would give for an option that must be given. `side` is a checkpoint beside the models. */
function sensible(spec: OptionSpec, side: string): unknown {
  if (spec.default !== undefined || !spec.required) return spec.default;
  if (spec.type.includes("integer")) return 1;
  if (spec.type.includes("number")) return 0.5;
  if (spec.type === "string") return spec.value?.startsWith("GRAM") ? gramFile(side) : side;
  throw new Error(`no value is known for an option of type ${spec.type}`);
}

export interface Given {
  readonly models: readonly Model[];
  readonly base?: Model | undefined;
  readonly shapes?: Shapes;
  /** Values that differ from those of the method's first trial; arrays for options that go per model. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** Types of the inputs: of all, or of base and models in turn. */
  readonly dtype?: Dtype | readonly Dtype[];
  readonly outDtype?: Dtype;
  readonly workDtype?: OperandDtype;
  readonly settings?: Partial<JobSettings>;
  /** Positions of the models in the recipe. */
  readonly modelIndex?: readonly number[];
  /** Path of a checkpoint for options that name one. */
  readonly side?: string;
  /** Wraps every input. */
  readonly wrap?: (entry: TensorEntry) => TensorEntry;
}

/** The tensors to merge. */
export function tasksOf(method: MergeMethod, given: Given): ValuedTask[] {
  const { models, base, shapes = SHAPES, wrap = (entry) => entry } = given;
  const types = (i: number): Dtype => (typeof given.dtype === "string" ? given.dtype : (given.dtype?.[i] ?? "F32"));
  const value = (name: string, spec: OptionSpec, model: number): unknown => {
    const said = given.values?.[name] ?? method.trials?.[0]?.[name];
    if (said === undefined) return sensible(spec, given.side ?? "");
    return spec.per === "model" && Array.isArray(said) ? said[model] : said;
  };
  const options = Object.entries(method.options);
  return Object.entries(shapes).map(([name, shape]) => {
    const layer = /layers\.(\d+)\./.exec(name)?.[1];
    const entry = (model: Model, i: number) => wrap(entryOf(name, types(i), shape, model.get(name)!));
    return {
      kind: "merge",
      name,
      shape,
      outDtype: given.outDtype ?? "F32",
      workDtype: given.workDtype ?? "F32",
      ...(base && { base: entry(base, 0) }),
      models: models.map((model, i) => entry(model, base ? i + 1 : i)),
      modelIndex: given.modelIndex ?? models.map((_, i) => i),
      ...(layer !== undefined && { layer: Number(layer), depth: Number(layer) }),
      values: Object.fromEntries(options.flatMap(([key, spec]) => (spec.per ? [] : [[key, value(key, spec, 0)]]))),
      perModel: models.map((_, i) =>
        Object.fromEntries(options.flatMap(([key, spec]) => (spec.per ? [[key, value(key, spec, i)]] : []))),
      ),
    };
  });
}

/** Merges whole models; gives the bytes of every tensor. */
export const mergedBytes = (gpu: Gpu, method: MergeMethod, given: Given): Promise<Map<string, Uint8Array>> =>
  writtenBytes(gpu, method, tasksOf(method, given), given.settings);

/** Merges whole models; gives the values of every tensor. */
export async function merged(gpu: Gpu, method: MergeMethod, given: Given): Promise<Model> {
  const bytes = await mergedBytes(gpu, method, given);
  return new Map([...bytes].map(([name, data]) => [name, decodeFloats(data, given.outDtype ?? "F32")]));
}
