/**
 * How what linear layers read is spread: S = sum (x - m)(x - m)^T over the rows x that count, m their mean or zero.
 * Layers that read the same tensor share theirs.
 *
 *   S = sum x x^T - n m m^T
 *
 * The sums are f32, on the GPU, in a fixed order. GPU memory: the matrices of the layers of one pass, at most a budget
 * or one matrix; what is over takes a pass over the rows of its own.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Model } from "../../model/model.ts";
import { mul } from "../../tensor/ops/elementwise.ts";
import { product } from "../../tensor/ops/linear.ts";
import { columnSums } from "../../tensor/ops/reduce.ts";
import { profileOf } from "../../tensor/program.ts";
import { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import { maskOf } from "./gram-matrices.ts";

/** The inputs of one or several layers. */
export interface InputScatter {
  /** That read them, in the order in which the model does. */
  readonly modules: readonly string[];
  readonly width: number;
  /** Rows that were counted. */
  readonly rows: number;
  /** S (width, width). */
  readonly values: Float32Array;
}

export interface ScatterOptions {
  /** Layers to measure, by the name of their module. */
  readonly only: (module: string) => boolean;
  readonly signal: AbortSignal;
  /** About zero, not about the mean. */
  readonly raw?: boolean;
  /** Bytes of matrices in one pass. */
  readonly budget?: number;
}

const BUDGET = 2 ** 30;

/** 1 for each token whose own label counts, 0 for others and for padding; undefined where every row counts. */
function countedMask(batch: Batch): Float32Array | undefined {
  if (!isTokens(batch)) return maskOf(batch);
  const mask = new Float32Array(batch.rows * batch.length);
  for (const { sequence, row, start } of batch.documents)
    for (const [i, label] of sequence.labels.entries()) if (label >= 0) mask[row * batch.length + start + i] = 1;
  return mask;
}

interface Sums {
  readonly modules: readonly string[];
  readonly width: number;
  readonly square: PooledBuffer;
  readonly plain: PooledBuffer;
  rows: number;
}

/** Which layers read the same tensor, and how wide it is, by the first of them. */
function readersOf(model: Model, batch: Batch, { only }: ScatterOptions): { modules: string[]; width: number }[] {
  const rec = new Recorder(profileOf(model.gpu), { training: false });
  const found = new Map<Tensor, { modules: string[]; width: number }>();
  const observe = (module: string, x: Tensor): void => {
    if (!only(module)) return;
    const own = found.get(x) ?? { modules: [], width: rowsOf(x).width };
    own.modules.push(module);
    found.set(x, own);
  };
  model.record(rec, recordInputs(rec, batch), { observe });
  return [...found.values()];
}

/** Parts of the list whose matrices fit into the budget, one at least. */
function passesOf<T extends { readonly width: number }>(list: readonly T[], budget: number): T[][] {
  const passes: T[][] = [];
  let left = 0;
  for (const one of list) {
    const bytes = 4 * one.width ** 2;
    if (passes.length === 0 || bytes > left) {
      passes.push([]);
      left = budget;
    }
    passes.at(-1)!.push(one);
    left -= bytes;
  }
  return passes;
}

/** The rows that a layer reads of one batch: so many, or those of the mask. */
type Counts = ReadonlyMap<Sums, number | "masked">;

/** Records a forward pass that adds to the sums. */
function record(rec: Recorder, model: Model, batch: Batch, sums: readonly Sums[]): Counts {
  const masked = countedMask(batch);
  const mask = masked && rec.input("mask", [masked.length, 1]);
  const first = new Map(sums.map((one) => [one.modules[0]!, one]));
  const counts = new Map<Sums, number | "masked">();
  const observe = (module: string, x: Tensor): void => {
    const own = first.get(module);
    if (!own) return;
    const { rows, width } = rowsOf(x);
    const flat = rec.reshape(x, [rows, width]);
    // What is one row an example, such as what a pooler reads, has no padding.
    const isMasked = mask !== undefined && masked?.length === rows;
    const kept = isMasked ? mul(rec, flat, mask) : flat;
    const square = rec.state(`squares of ${module}`, [width, width], own.square.buffer);
    const plain = rec.state(`sums of ${module}`, [width], own.plain.buffer);
    product(rec, { form: "tn", m: width, n: width, k: rows, a: kept, b: flat, c: square, accumulate: 1 });
    columnSums(rec, kept, { into: plain, accumulate: 1 });
    counts.set(own, isMasked ? "masked" : rows);
  };
  const { hidden } = model.record(rec, recordInputs(rec, batch), { observe });
  rec.output("last", hidden);
  return counts;
}

/** One pass over the batches for some layers. */
async function measure(
  model: Model,
  batches: readonly Batch[],
  readers: readonly { readonly modules: readonly string[]; readonly width: number }[],
  { signal, raw = false }: ScatterOptions,
): Promise<InputScatter[]> {
  const { gpu } = model;
  const { key } = crossEntropyObjective(model);
  const programs = new Programs<Counts>(gpu);
  const zeros = (values: number, what: string): PooledBuffer => {
    const bytes = Math.max(16, 4 * values);
    const memory = gpu.buffer(bytes, what);
    gpu.clear(memory.buffer, bytes);
    return memory;
  };
  const all = readers.map(({ modules, width }): Sums => {
    const [square, plain] = [zeros(width ** 2, "squares of inputs"), zeros(width, "sums of inputs")];
    return { modules, width, square, plain, rows: 0 };
  });
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const mask = countedMask(batch);
      const { program, recorded: counts } = await programs.get(key(batch), (rec) => record(rec, model, batch, all));
      fillInputs(program, batch);
      if (mask && program.takes("mask")) program.write("mask", mask);
      program.run();
      const counted = mask?.reduce((a, b) => a + b, 0) ?? 0;
      for (const [own, rows] of counts) own.rows += rows === "masked" ? counted : rows;
    }
    const found: InputScatter[] = [];
    for (const own of all) found.push(await finished(model, own, raw));
    return found;
  } finally {
    for (const { square, plain } of all) for (const memory of [square, plain]) memory.free();
    programs.free();
  }
}

async function finished(model: Model, sums: Sums, raw: boolean): Promise<InputScatter> {
  const { modules, width, rows, square, plain } = sums;
  const values = await model.gpu.readFloats(square.buffer, width ** 2);
  if (raw) return { modules, width, rows, values };
  const means = await model.gpu.readFloats(plain.buffer, width);
  for (let i = 0; i < width; i++)
    for (let j = 0; j < width; j++) values[i * width + j]! -= rows === 0 ? 0 : (means[i]! / rows) * means[j]!;
  return { modules, width, rows, values };
}

/** Measures on batches. One matrix after another is on the host. */
export async function* inputScatter(
  model: Model,
  batches: readonly Batch[],
  options: ScatterOptions,
): AsyncGenerator<InputScatter> {
  const [first] = batches;
  if (!first) return;
  for (const readers of passesOf(readersOf(model, first, options), options.budget ?? BUDGET))
    yield* await measure(model, batches, readers, options);
}
