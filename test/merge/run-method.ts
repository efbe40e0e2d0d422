/** Runs a merge method on one tensor given as numbers, and the laws that any such method keeps. */
import { expect, test } from "bun:test";
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../src/merge/contract.ts";
import { mergeTensors } from "../../src/merge/job/run.ts";
import type { OperandDtype } from "../../src/tensor/load.ts";
import { entry } from "./plan/fixtures.ts";

export type AnyMethod = Pick<MergeMethod, "name" | "options" | "passes" | "scratch"> & {
  // biome-ignore lint/suspicious/noExplicitAny: a job's values depend on the method's options
  merge(job: any): Promise<void>;
};

export interface Trial {
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
  readonly chunkValues?: number;
  readonly compatBugs?: boolean;
}

/** The bytes that a method writes for one tensor. */
export async function runBytes(gpu: Gpu, method: AnyMethod, trial: Trial): Promise<Uint8Array> {
  const name = trial.name ?? "weight";
  const dtype = trial.dtype ?? "F32";
  const stored = (values: Float32Array) => entry(name, dtype, trial.shape, encodeFloats(values, dtype));
  const defaults = Object.entries(method.options).map(([key, { default: value }]) => [key, value]);
  const parts: Uint8Array[] = [];
  const one = trial.models.map((_, k) => {
    const given = Object.entries(trial.perModel ?? {}).map(([key, list]) => [key, list[k]]);
    return Object.fromEntries([...defaults, ...given]);
  });
  await mergeTensors({
    gpu,
    method: method as unknown as MergeMethod,
    tasks: [
      {
        ...{ name, shape: trial.shape, kind: "merge", outDtype: trial.outDtype ?? "F32" },
        workDtype: trial.workDtype ?? "F32",
        ...(trial.base && { base: stored(trial.base) }),
        models: trial.models.map(stored),
        modelIndex: trial.models.map((_, k) => k),
        values: { ...Object.fromEntries(defaults), ...trial.values },
        perModel: one,
      },
    ],
    sink: {
      async write(_, bytes) {
        parts.push(bytes.slice());
      },
    },
    settings: {
      seed: trial.seed ?? 0,
      compatRounding: false,
      compatBugs: trial.compatBugs ?? false,
      ...(trial.chunkValues !== undefined && { chunkValues: trial.chunkValues }),
    },
  });
  return new Uint8Array(Buffer.concat(parts));
}

/** What a method writes for one tensor, as numbers. */
export async function runMethod(gpu: Gpu, method: AnyMethod, trial: Trial): Promise<Float32Array> {
  return decodeFloats(await runBytes(gpu, method, trial), trial.outDtype ?? "F32");
}

/** Uniform numbers in [0, 1), the same for a seed everywhere. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normal values times `scale`. */
export function normals(size: number, scale: number, seed: number): Float32Array {
  const next = uniform(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Float32Array.from({ length: size }, () => scale * normal());
}

/** A base and `count` models near it; every seventh value of the first is the base's, and many differences are equal. */
export function family(size: number, count: number, seed: number): { base: Float32Array; models: Float32Array[] } {
  // Multiples of 1/1024 below 4: differences are exact in f32, and ties are frequent.
  const grid = (values: Float32Array) =>
    values.map((value) => Math.max(-3, Math.min(3, Math.round(value * 1024) / 1024)));
  const base = grid(normals(size, 0.5, seed));
  const models = Array.from({ length: count }, (_, k) => {
    const change = grid(normals(size, 0.02 * (k + 1), seed + k + 1));
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

export interface LawOptions {
  readonly models?: number;
  readonly values?: Readonly<Record<string, unknown>>;
  readonly perModel?: Readonly<Record<string, unknown>>;
  /** The result may be a mean of equal values and so be off by a rounding. */
  readonly tolerance?: number;
  /** Random masks go by position in the recipe, so another order gives other masks. */
  readonly ordered?: boolean;
}

/** Laws: equal models return themselves, order does not matter, chunks do not matter, no model gives the base, all is finite. */
export function testLaws(gpu: () => Gpu, method: AnyMethod, options: LawOptions = {}): void {
  const count = options.models ?? 3;
  const spread = (n: number) =>
    Object.fromEntries(Object.entries(options.perModel ?? {}).map(([key, value]) => [key, Array(n).fill(value)]));
  const trial = (shape: readonly number[], models: readonly Float32Array[], base: Float32Array): Trial => ({
    ...{ shape, base, models, perModel: spread(models.length) },
    ...(options.values && { values: options.values }),
  });

  test(`${method.name} is finite and does not depend on chunks, whatever the shape and the type`, async () => {
    for (const [s, shape] of SHAPES.entries()) {
      const columns = shape.at(-1)!;
      const size = shape.reduce((a, b) => a * b, 1);
      const { base, models } = family(size, count, 100 + s);
      const dtype = (["F32", "BF16", "F16"] as const)[s % 3]!;
      const one = { ...trial(shape, models, base), dtype };
      const whole = await runMethod(gpu(), method, one);
      expect(whole.length).toBe(size);
      expect(whole.every(Number.isFinite)).toBe(true);
      for (const rows of [1, 3, 64]) {
        const chunkValues = Math.max(64, rows * columns);
        expect(await runMethod(gpu(), method, { ...one, chunkValues })).toEqual(whole);
      }
    }
  }, 60_000);

  test(`${method.name} of a tensor that does not stay on the device is the same in any chunks`, async () => {
    // More than software drivers keep (src/merge/layout.ts): chunks are read again for every pass.
    const shape = [Math.ceil((26 << 20) / (4 * 1999 * (count + 1))), 1999];
    const { base, models } = family(shape[0]! * 1999, count, 5);
    const one = trial(shape, models, base);
    const found = await runBytes(gpu(), method, { ...one, chunkValues: 333 * 1999 });
    expect(Buffer.compare(found, await runBytes(gpu(), method, one))).toBe(0);
  }, 60_000);

  if (!options.ordered && count > 1) {
    test(`${method.name} does not depend on the order of equally weighted models`, async () => {
      const { base, models } = family(33 * 129, count, 7);
      const found = await runMethod(gpu(), method, trial([33, 129], models, base));
      expect(apart(await runMethod(gpu(), method, trial([33, 129], [...models].reverse(), base)), found)).toBeLessThan(
        1e-6,
      );
    });
  }

  test(`${method.name} without a model that has the tensor gives the base`, async () => {
    const { base } = family(35, 1, 9);
    expect(await runMethod(gpu(), method, trial([5, 7], [], base))).toEqual(base);
  });

  test(`${method.name} writes every type`, async () => {
    const { base, models } = family(5 * 67, count, 11);
    const exact = await runMethod(gpu(), method, trial([5, 67], models, base));
    for (const [outDtype, tolerance] of [
      ["F64", 0],
      ["F16", 2 ** -11],
      ["BF16", 2 ** -8],
    ] as const) {
      const found = await runMethod(gpu(), method, { ...trial([5, 67], models, base), outDtype });
      expect(apart(found, exact)).toBeLessThanOrEqual(tolerance);
    }
  });
}
