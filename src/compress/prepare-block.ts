/**
 * Scales the inputs of a block's layers before they are quantised, where the quantizer asks for it and the architecture
 * says what makes them.
 */
import { decodeFloats, encodeFloats } from "../checkpoint/decode.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Bound } from "../method/bind.ts";
import type { StoredTensor } from "../model/load.ts";
import type { Model } from "../model/model.ts";
import type { MatrixInputs } from "../run/calibrating/block-passes.ts";
import type { Fold, Maker } from "./folds.ts";
import { scaleInputs } from "./input-scales.ts";
import type { MeasuredLayer } from "./layer.ts";
import type { Target } from "./matrices.ts";
import type { Quantizer, Scheme } from "./quantizer.ts";

/** What a preparation reads and writes. */
export interface Preparing {
  readonly model: Model;
  readonly by: Bound<Quantizer>;
  readonly seed: number;
  readonly signal: AbortSignal;
  scheme(name: string, columns: number): Scheme;
  /** What a target reads; the caller frees the matrix. */
  inputs(target: Target): Promise<MatrixInputs | undefined>;
  /** Values of a tensor as they are now. */
  read(stored: StoredTensor): Promise<Float32Array>;
  /** Gives a tensor other values, in the result and in the model's memory. */
  change(stored: StoredTensor, values: Float32Array): void;
}

/** The layers that read the same, with their memory. */
class Readers implements Disposable {
  readonly layers: MeasuredLayer[] = [];
  readonly #memory: PooledBuffer[] = [];

  /** Adds a target's layer. False where no row reaches it. */
  async add(work: Preparing, target: Target): Promise<boolean> {
    const { stored, rows, columns } = target;
    const { gpu } = work.model;
    const found = await work.inputs(target);
    if (!found) return false;
    this.#memory.push(found.gram);
    if (found.magnitudes.every((x) => x === 0)) return false;
    const weight = gpu.upload(await work.read(stored), stored.name);
    this.#memory.push(weight);
    this.layers.push({
      ...{ gpu, name: stored.name, rows, columns, weight, seed: work.seed, signal: work.signal },
      inputs: { ...found, gram: { buffer: found.gram.buffer, rows: columns, columns } },
    });
    return true;
  }

  [Symbol.dispose](): void {
    for (const one of this.#memory) one.free();
  }
}

/**
 * Divides what makes the inputs by factors. The values of a norm are rounded as they are stored, and the factors that
 * come of it are given back: columns that are multiplied by these leave the model as it was.
 */
async function divideMaker(work: Preparing, maker: Maker, factors: Float32Array): Promise<Float32Array> {
  const named = (name: string) => work.model.stored.find(({ parameter }) => parameter.name === name)!;
  if ("rows" in maker) {
    await divideRows(work, named(maker.rows), maker.first, factors);
    if (maker.bias) await divideRows(work, named(maker.bias), maker.first, factors);
    return factors;
  }
  const norm = named(maker.norm);
  const shift = Number(maker.plusOne);
  const before = await work.read(norm);
  const wanted = before.map((w, j) => (w + shift) / factors[j]! - shift);
  const after = decodeFloats(encodeFloats(wanted, norm.dtype), norm.dtype);
  work.change(norm, after);
  return factors.map((factor, j) => {
    const ratio = (before[j]! + shift) / (after[j]! + shift);
    return ratio > 0 && Number.isFinite(ratio) ? ratio : factor;
  });
}

/** Divides row `first` + j of a matrix, or value of a vector, by factor j. */
async function divideRows(work: Preparing, stored: StoredTensor, first: number, factors: Float32Array): Promise<void> {
  const values = await work.read(stored);
  const [, columns = 1] = stored.shape;
  for (const [j, factor] of factors.entries())
    for (let k = (first + j) * columns; k < (first + j + 1) * columns; k++) values[k] = values[k]! / factor;
  work.change(stored, values);
}

/** Prepares one fold. Nothing where one of its readers is no target, or is read by no row. */
async function prepareFold(work: Preparing, fold: Fold, targets: readonly Target[]): Promise<void> {
  const { method, values } = work.by;
  if (method.needs !== "inputs" || !method.prepare) return;
  const readers = fold.readers.map((name) => targets.find(({ stored }) => stored.parameter.name === name));
  using held = new Readers();
  for (const target of readers) if (!target || !(await held.add(work, target))) return;
  let chosen: Float32Array | undefined;
  await method.prepare(
    {
      gpu: work.model.gpu,
      layers: held.layers.map((layer) => ({ layer, scheme: work.scheme(layer.name, layer.columns) })),
      async scale(factors) {
        if (chosen) throw new RangeError("the inputs of a group are scaled once");
        chosen = await divideMaker(work, fold.maker, factors);
        for (const layer of held.layers) await scaleInputs(layer, chosen);
      },
    },
    values,
  );
  if (!chosen) return;
  for (const [i, { gpu, weight, rows, columns }] of held.layers.entries())
    work.change(readers[i]!.stored, await gpu.readFloats(weight.buffer, rows * columns));
}

/** Prepares the folds of a block, one after the other. */
export async function prepareBlock(work: Preparing, folds: readonly Fold[], targets: readonly Target[]): Promise<void> {
  for (const fold of folds) {
    work.signal.throwIfAborted();
    await prepareFold(work, fold, targets);
  }
}
