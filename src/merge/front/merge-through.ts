/**
 * RegMean++: matrices whose outputs are nearest to all models' on what they will read in the merged model.
 *
 * Nguyen et al. 2025, https://arxiv.org/abs/2508.03121. RegMean takes Gram matrices of what each model reads by itself;
 * here the parts of the model are merged one after the other, and the rows of model i come to its block through
 * everything before it as it is merged. The parts are the blocks and, before and after them, what lies in none; of each
 * model's own block Gram matrices of one pass serve all its layers, as in the paper.
 *
 * GPU memory: all models in f32, and the Gram matrices of a block.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import { type GramMatrices, measureGramMatrices } from "../../run/gram/gram-matrices.ts";
import { gramName } from "../../run/gram/names.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { gramSolution } from "../updates/gram-solve.ts";

/** A model with the rows that it reads. */
export interface Reader {
  readonly ref: string;
  readonly model: Model;
  readonly batches: readonly Batch[];
}

export interface ThroughOptions {
  /** What off-diagonal entries are multiplied by. */
  readonly reduce: number;
  /** Shares of the models. */
  readonly weights: readonly number[];
  readonly signal: AbortSignal;
  /** Called for rows that a model read. */
  readonly done?: (rows: number) => void;
  /** Hears of matrices of blocks that are averaged. */
  readonly remark?: (what: string, tensor: string) => void;
}

/** Parameters of a block, or of what lies between two of them. */
export interface Part {
  readonly names: ReadonlySet<string>;
  readonly isBlock: boolean;
  /** Whether layers in it are looked for: not before the first block, and not in the head of a language model. */
  readonly isMeasured: boolean;
}

/** The parts of a model, in the order in which it computes. */
export function partsOf({ parameters, task }: Pick<Model, "parameters" | "task">): Part[] {
  const found: { key: string; isBlock: boolean; names: Set<string> }[] = [];
  for (const name of parameters.keys()) {
    const layer = layerOf(name);
    const key = layer ? `${layer.prefix}.${layer.index}` : "";
    if (found.at(-1)?.key !== key) found.push({ key, isBlock: layer !== undefined, names: new Set() });
    found.at(-1)!.names.add(name);
  }
  const first = found.findIndex(({ isBlock }) => isBlock);
  return found.map(({ isBlock, names }, i) => ({
    names,
    isBlock,
    isMeasured: isBlock || (i > first && task !== "causal-lm"),
  }));
}

/** Throws UserError where a model has other parameters than the first. */
export function expectAlike(readers: readonly Reader[]): void {
  const [first, ...others] = readers;
  for (const { ref, model } of others) {
    for (const [name, { shape }] of first!.model.parameters) {
      const own = model.parameters.get(name);
      if (own && own.shape.join() === shape.join()) continue;
      throw new UserError(
        `${name} is (${shape.join(", ")}) in ${first!.ref} and ${own ? `(${own.shape.join(", ")})` : "missing"} in ${ref}`,
        "give models of one architecture and size",
      );
    }
  }
}

const valuesOf = (model: Model, { buffer, size }: Parameter, start = 0, count = size): Promise<Float32Array> =>
  model.gpu.readFloats(buffer, count, 4 * start);

/** Sets the values of a parameter, from `start` on, in every model. */
function writeAll(readers: readonly Reader[], name: string, values: Float32Array, start = 0): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  for (const { model } of readers) model.gpu.write(model.parameters.get(name)!.buffer, 4 * start, bytes);
}

/** The mean of all, around the first, so that equal models keep their bits. */
async function average(readers: readonly Reader[], name: string, weights: readonly number[]): Promise<void> {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const [first] = readers;
  const values = await valuesOf(first!.model, first!.model.parameters.get(name)!);
  const moved = new Float64Array(values.length);
  for (const [k, { model }] of readers.entries()) {
    const own = await valuesOf(model, model.parameters.get(name)!);
    for (let i = 0; i < moved.length; i++) moved[i]! += (weights[k]! / total) * (own[i]! - values[i]!);
  }
  writeAll(
    readers,
    name,
    values.map((value, i) => value + moved[i]!),
  );
}

/** A matrix: a part of a parameter, and the Gram matrix of every model that belongs to it. */
interface Solved {
  readonly parameter: Parameter;
  readonly start: number;
  readonly rows: number;
  readonly columns: number;
  readonly grams: readonly { readonly buffer: GPUBuffer; readonly start: number; readonly share: number }[];
}

/** Solves for one matrix and sets it in every model. */
async function solve(readers: readonly Reader[], of: Solved, { reduce, weights }: ThroughOptions): Promise<void> {
  const { parameter, start, rows, columns, grams } = of;
  const { model } = readers[0]!;
  const inFirst = model.isInFirst(parameter);
  const side = inFirst ? rows : columns;
  const pitch = 4 * Math.ceil((rows * columns) / 4);
  const own = await valuesOf(model, parameter, start, rows * columns);
  const differences = new Float32Array(readers.length * pitch);
  for (const [k, reader] of readers.entries()) {
    const held = reader.model.parameters.get(parameter.name)!;
    const values = await valuesOf(reader.model, held, start, rows * columns);
    differences.set(
      values.map((value, i) => value - own[i]!),
      k * pitch,
    );
  }
  using held = model.gpu.upload(differences, `differences of ${parameter.name}`);
  const read = async (k: number) => {
    const { buffer, start, share } = grams[k]!;
    return (await model.gpu.readFloats(buffer, side ** 2, 4 * start)).map((sum) => sum * share);
  };
  const d = { buffer: held.buffer, pitch, rows, columns, inFirst };
  const found = await gramSolution(model.gpu, d, { side, count: readers.length, reduce, weights, read });
  if (!found)
    throw new UserError(
      `the Gram matrices of ${parameter.name} have no inverse at reduce ${reduce}`,
      "give a smaller --reduce, or more rows",
    );
  writeAll(
    readers,
    parameter.name,
    own.map((value, i) => value + found[i]!),
    start,
  );
}

/** The matrices of a parameter: one, or one for each expert; none where a model has no Gram matrix of it. */
function matricesOf(parameter: Parameter, readers: readonly Reader[], measured: readonly GramMatrices[]): Solved[] {
  const { model } = readers[0]!;
  const [rows = 0, columns = 0] = parameter.shape.slice(-2);
  const inFirst = model.isInFirst(parameter);
  const lists = measured.map((grams) => new Map(grams.matrices().map((gram) => [gram.name, gram])));
  return model.stored.flatMap((stored): Solved[] => {
    if (stored.parameter !== parameter) return [];
    const found = lists.map((list) => list.get(gramName(stored.name, inFirst)));
    const parts = sizeOf(stored.shape) / (rows * columns);
    if (found.some((gram) => gram === undefined)) return [];
    return Array.from({ length: parts }, (_, part) => ({
      ...{ parameter, rows, columns, start: stored.start + part * rows * columns },
      grams: found.map((gram, k) => ({
        buffer: gram!.buffer,
        start: gram!.start + part * gram!.shape.at(-1)! ** 2,
        share: measured[k]!.share,
      })),
    }));
  });
}

/** Merges one part in every model. */
async function mergePart(readers: readonly Reader[], part: Part, options: ThroughOptions): Promise<void> {
  const measured: GramMatrices[] = [];
  try {
    const only = (module: string) => part.names.has(`${module}.weight`) || part.names.has(module);
    if (part.isMeasured)
      for (const { model, batches } of readers)
        measured.push(await measureGramMatrices(model, batches, { ...options, only }));
    for (const name of part.names) {
      const parameter = readers[0]!.model.parameters.get(name)!;
      const matrices = part.isMeasured && parameter.shape.length > 1 ? matricesOf(parameter, readers, measured) : [];
      for (const matrix of matrices) await solve(readers, matrix, options);
      if (matrices.length > 0) continue;
      if (part.isBlock && parameter.shape.length > 1)
        options.remark?.("averaged plainly, since no linear layer reads it", name);
      await average(readers, name, options.weights);
    }
  } finally {
    for (const grams of measured) grams[Symbol.dispose]();
  }
}

/**
 * Merges models of one architecture in place, part by part: all of them are the result then. They are held in f32, and
 * their weights sum to more than 0.
 */
export async function mergeThrough(readers: readonly Reader[], options: ThroughOptions): Promise<void> {
  expectAlike(readers);
  for (const part of partsOf(readers[0]!.model)) {
    options.signal.throwIfAborted();
    await mergePart(readers, part, options);
  }
}
