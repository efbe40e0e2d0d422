/**
 * Gram matrices of what linear layers read: X^T X / n, X the rows (tokens, patches, examples) that come to a layer
 * while a model reads n tokens, or n examples. Of a stack of experts one for each, of the tokens that it was given.
 * Padding does not count. Sums are f32, on the GPU, in a fixed order.
 *
 * GPU memory: a matrix for each input that differs, f32: layers that read the same tensor share theirs.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Model } from "../../model/model.ts";
import { planGroupedProduct } from "../../tensor/linear-algebra/products.ts";
import { mul } from "../../tensor/ops/elementwise.ts";
import { product } from "../../tensor/ops/linear.ts";
import { dispatch } from "../../tensor/ops/moe.ts";
import type { RoutePlan } from "../../tensor/ops/router.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import { gramName } from "./names.ts";

/** A Gram matrix of a weight of the checkpoint: (in, in), or (E, in, in) of a stack that is one tensor there. */
export interface GramMatrix {
  /** By `gramName`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly buffer: GPUBuffer;
  /** First value in the buffer. */
  readonly start: number;
}

export interface GramOptions {
  readonly signal: AbortSignal;
  /** Called after every batch. */
  readonly done?: (rows: number) => void;
  /** Layers to measure, by the name of their module; all when left out. */
  readonly only?: (module: string) => boolean;
}

/** Sums of the inputs of a layer: `parts` matrices of `columns` squared. */
interface Sums {
  readonly columns: number;
  readonly parts: number;
  readonly memory: PooledBuffer;
}

/** Gram matrices of a model. `share` turns sums into means. */
export class GramMatrices implements Disposable {
  readonly #model: Model;
  readonly #of = new Map<string, Sums>();
  #counted = 0;

  constructor(model: Model) {
    this.#model = model;
  }

  /** What each value is to be multiplied by: 1 / n. */
  get share(): number {
    return 1 / this.#counted;
  }

  /** Counts what a batch reads. */
  count(batch: Batch): void {
    this.#counted += isTokens(batch) ? batch.lengths.reduce((sum, length) => sum + length, 0) : batch.rows;
  }

  /** The sums of a module, zero when it is first asked for; those of `like`, whose inputs are the same, if given. */
  sums(rec: Recorder, module: string, parts: number, columns: number, like?: string): Sums {
    const known = this.#of.get(module) ?? (like === undefined ? undefined : this.#of.get(like));
    if (known) {
      this.#of.set(module, known);
      return known;
    }
    const bytes = 4 * parts * columns ** 2;
    const most = rec.profile.maxBinding ?? Number.POSITIVE_INFINITY;
    if (bytes > most)
      throw new UserError(
        `the Gram ${parts > 1 ? `matrices of the ${parts} experts` : "matrix"} of ${module} (${columns} inputs) take ${bytes} bytes in one binding; this adapter binds ${most}`,
        "use another adapter",
      );
    const memory = this.#model.gpu.buffer(bytes, `Gram matrix of ${module}`);
    this.#model.gpu.clear(memory.buffer, bytes);
    const made = { columns, parts, memory };
    this.#of.set(module, made);
    return made;
  }

  /** The sums of a module, (parts, in, in). Throws Error where none were asked for. */
  sumsOf(module: string): GPUBuffer {
    const sums = this.#of.get(module);
    if (!sums) throw new Error(`${module} was not measured`);
    return sums.memory.buffer;
  }

  /** One for every tensor of the checkpoint that is the weight of a measured layer. */
  matrices(): GramMatrix[] {
    return this.#model.stored.flatMap(({ name, shape, parameter, start }): GramMatrix[] => {
      const sums = this.#of.get(parameter.name) ?? this.#of.get(parameter.name.replace(/\.weight$/, ""));
      if (!sums || shape.length < 2) return [];
      const { columns, parts, memory } = sums;
      const whole = shape.length === 3;
      const part = whole ? 0 : start / (parameter.size / parts);
      return [
        {
          name: gramName(name, this.#model.isInFirst(parameter)),
          shape: whole ? [parts, columns, columns] : [columns, columns],
          buffer: memory.buffer,
          start: part * columns ** 2,
        },
      ];
    });
  }

  [Symbol.dispose](): void {
    for (const memory of new Set([...this.#of.values()].map((sums) => sums.memory))) memory.free();
  }
}

/** Adds the outer products of rows of experts, sorted by expert: (N * k, in) -> (E, in, in). */
function addByExpert(rec: Recorder, weighed: Tensor, x: Tensor, into: Tensor, { experts, offsets }: RoutePlan): void {
  const { rows, width } = rowsOf(x);
  const sizes = { m: width, n: width, k: rows, rows, bDtype: "f32" as const };
  const { params, ...step } = planGroupedProduct({ form: "tn", ...sizes, experts, firstExpert: 0 }, rec.profile);
  rec.step({ ...step, bind: { a: weighed, b: x, c: into, offsets }, params: { ...params, accumulate: 1 } });
}

/** 1 for each token, 0 for padding; undefined where there is none. */
export function maskOf(batch: Batch): Float32Array | undefined {
  if (!isTokens(batch)) return "tokens" in batch ? Float32Array.from(batch.tokens.segments) : undefined;
  const { rows, length, lengths } = batch;
  const mask = new Float32Array(rows * length);
  for (const [row, tokens] of lengths.entries()) mask.fill(1, row * length, row * length + tokens);
  return mask;
}

/** Hears what layers read while a forward pass is recorded, for `Model.record`. */
export type Observe = (module: string, x: Tensor, plan?: RoutePlan) => void;

/**
 * Adds what layers read of a batch to the sums; `beside` hears each input that differs once, without its padding, and
 * of experts sorted by expert. `maskOf` of the batch fills the program's input `mask`.
 */
export function observeGrams(
  rec: Recorder,
  grams: GramMatrices,
  batch: Batch,
  only: GramOptions["only"],
  beside?: (module: string, kept: Tensor, plan?: RoutePlan) => void,
): Observe {
  const padded = maskOf(batch);
  const mask = padded && rec.input("mask", [padded.length, 1]);
  const readers = new Map<Tensor, string>();
  const seen = new Set<string>();
  return (module, x, plan) => {
    if (only && !only(module)) return;
    if (seen.has(module)) throw new Error(`${module} is used twice, and its inputs would be mixed up`);
    seen.add(module);
    const { rows, width } = rowsOf(x);
    const first = readers.get(x);
    const sums = grams.sums(rec, module, plan?.experts ?? 1, width, first);
    if (first !== undefined) return;
    readers.set(x, module);
    const into = rec.state(`Gram matrix of ${module}`, [sums.parts, width, width], sums.memory.buffer);
    if (plan) {
      const kept = mask ? mul(rec, x, dispatch(rec, mask, plan)) : x;
      addByExpert(rec, kept, x, into, plan);
      beside?.(module, kept, plan);
      return;
    }
    // What is one row an example, such as what a head reads, has no padding.
    const flat = rec.reshape(x, [rows, width]);
    const kept = mask && padded.length === rows ? mul(rec, flat, mask) : flat;
    product(rec, { form: "tn", m: width, n: width, k: rows, a: kept, b: flat, c: into, accumulate: 1 });
    beside?.(module, kept);
  };
}

/** Records a forward pass that adds to the sums. */
function record(rec: Recorder, grams: GramMatrices, model: Model, batch: Batch, only: GramOptions["only"]): void {
  const observe = observeGrams(rec, grams, batch, only);
  const { hidden, head } = model.record(rec, recordInputs(rec, batch), { observe });
  // The head of a language model is as wide as its vocabulary, and its inputs are left out.
  rec.output("last", model.task === "causal-lm" ? hidden : head(hidden));
}

/** Measures on batches. Throws UserError where an activation is not finite. `using` gives the memory back. */
export async function measureGramMatrices(
  model: Model,
  batches: readonly Batch[],
  { signal, done, only }: GramOptions,
): Promise<GramMatrices> {
  const { key } = crossEntropyObjective(model);
  const programs = new Programs(model.gpu);
  const grams = new GramMatrices(model);
  let rows = 0;
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program } = await programs.get(key(batch), (rec) => record(rec, grams, model, batch, only));
      fillInputs(program, batch);
      const mask = maskOf(batch);
      if (mask && program.takes("mask")) program.write("mask", mask);
      program.run();
      const last = await program.read("last");
      if (last.some((x) => !Number.isFinite(x)))
        throw new UserError(
          `what the model gives on rows ${rows + 1} to ${rows + batch.rows} is not finite`,
          "its own weights are not finite, or these rows are not for it",
          1,
        );
      grams.count(batch);
      rows += batch.rows;
      done?.(batch.rows);
    }
    return grams;
  } catch (error) {
    grams[Symbol.dispose]();
    throw error;
  } finally {
    programs.free();
  }
}
