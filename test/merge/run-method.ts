/** Runs a merge method on one tensor given as numbers, and tests that shapes and chunks do not matter to it. */
import { expect, test } from "bun:test";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import type { ChunkSizes } from "../../src/merge/job/task.ts";
import type { OperandDtype } from "../../src/tensor/load.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { normals } from "../support/random.ts";
import { mergeArrays } from "./merge-arrays.ts";

export interface Trial extends ChunkSizes {
  readonly shape: readonly number[];
  readonly base?: Float32Array;
  readonly models: readonly Float32Array[];
  /** Options with one value; defaults are filled in. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** Options with a value per model, as arrays; defaults are filled in. */
  readonly perModel?: Readonly<Record<string, readonly unknown[]>>;
  readonly name?: string;
  readonly dtype?: OperandDtype;
  readonly workDtype?: OperandDtype;
  readonly outDtype?: Dtype;
  readonly seed?: number;
  readonly compatBugs?: boolean;
}

/** The bytes that a method writes for one tensor. */
export async function runBytes(gpu: Gpu, method: MergeMethod, trial: Trial): Promise<Uint8Array> {
  const { name = "weight", shape, base, models, perModel = {}, dtype: inDtype, ...options } = trial;
  const of = (k: number) => Object.fromEntries(Object.entries(perModel).map(([key, list]) => [key, list[k]]));
  const { bytes } = await mergeArrays(gpu, method, [{ name, shape, models, ...(base && { base }) }], {
    ...options,
    ...(inDtype && { inDtype }),
    perModel: models.map((_, k) => of(k)),
  });
  return bytes.get(name)!;
}

/** What a method writes for one tensor, as numbers. */
export async function runMethod(gpu: Gpu, method: MergeMethod, trial: Trial): Promise<Float32Array> {
  return decodeFloats(await runBytes(gpu, method, trial), trial.outDtype ?? "F32");
}

/**
 * A base and `count` models near it; every seventh value of the first is the base's, and many differences are equal.
 */
export function family(size: number, count: number, seed: number): { base: Float32Array; models: Float32Array[] } {
  // Multiples of 1/1024 below 4: differences are exact in f32, and ties are frequent.
  const grid = (values: Float32Array) =>
    values.map((value) => Math.max(-3, Math.min(3, Math.round(value * 1024) / 1024)));
  const base = grid(normals(seed, size, 0.5));
  const models = Array.from({ length: count }, (_, k) => {
    const change = grid(normals(seed + k + 1, size, 0.02 * (k + 1)));
    return base.map((value, i) => (k === 0 && i % 7 === 0 ? value : value + change[i]!));
  });
  return { base, models };
}

/** Task vectors, exact in f64 and rounded once to f32 as kernels have them. */
export const deltas = (base: Float32Array, models: readonly Float32Array[]): Float32Array[] =>
  models.map((model) => model.map((value, i) => Math.fround(value - base[i]!)));

/** Largest difference, relative to the largest magnitude of what is wanted. */
export function apart(found: Float32Array, wanted: ArrayLike<number>): number {
  if (found.length !== wanted.length) return Number.POSITIVE_INFINITY;
  let scale = 1e-30;
  let worst = 0;
  for (let i = 0; i < wanted.length; i++) {
    scale = Math.max(scale, Math.abs(wanted[i]!));
    const off = Math.abs(found[i]! - wanted[i]!);
    worst = Math.max(worst, Number.isNaN(off) ? Number.POSITIVE_INFINITY : off);
  }
  return worst / scale;
}

/** Shapes that kernels and chunks stumble over: one value, odd rows, more than one span, one row, one column. */
export const SHAPES: readonly (readonly number[])[] = [
  [1],
  [3],
  [255],
  [257],
  [5, 7],
  [33, 129],
  [40, 255],
  [300, 1],
  [3, 5, 11],
];

export interface ShapeOptions {
  readonly models?: number;
  readonly values?: Readonly<Record<string, unknown>>;
  readonly perModel?: Readonly<Record<string, unknown>>;
}

/**
 * Tests that the result is finite and the same in any chunks, for odd shapes and a large tensor, and that no model
 * gives the base.
 */
export function testShapes(gpu: () => Gpu, method: MergeMethod, options: ShapeOptions = {}): void {
  const count = options.models ?? 3;
  const spread = (n: number) =>
    Object.fromEntries(Object.entries(options.perModel ?? {}).map(([key, value]) => [key, Array(n).fill(value)]));
  const trial = (shape: readonly number[], models: readonly Float32Array[], base: Float32Array): Trial => ({
    ...{ shape, base, models, perModel: spread(models.length) },
    ...(options.values && { values: options.values }),
  });

  test(`${method.name} is finite and does not depend on chunks, whatever the shape and the type`, async () => {
    for (const [s, shape] of SHAPES.entries()) {
      const size = sizeOf(shape);
      const { base, models } = family(size, count, 100 + s);
      const dtype = (["F32", "BF16", "F16"] as const)[s % 3]!;
      const one = { ...trial(shape, models, base), dtype };
      const whole = await runMethod(gpu(), method, one);
      expect(whole.length).toBe(size);
      expect(whole.every(Number.isFinite)).toBe(true);
      for (const rows of [1, 3, 64]) {
        const chunkValues = Math.max(64, rows * shape.at(-1)!);
        expect(await runMethod(gpu(), method, { ...one, chunkValues })).toEqual(whole);
      }
    }
  }, 120_000);

  test(`${method.name} of a tensor that does not stay on the device is the same in any chunks`, async () => {
    const shape = [61, 1999];
    const { base, models } = family(sizeOf(shape), count, 5);
    const one = { ...trial(shape, models, base), residentBytes: 0 };
    const found = await runBytes(gpu(), method, { ...one, chunkValues: 7 * 1999 });
    expect(Buffer.compare(found, await runBytes(gpu(), method, one))).toBe(0);
  }, 120_000);

  test(`${method.name} without a model that has the tensor gives the base`, async () => {
    const { base } = family(35, 1, 9);
    expect(await runMethod(gpu(), method, trial([5, 7], [], base))).toEqual(base);
  });
}
