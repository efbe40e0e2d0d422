/** DELLA against a loop that sorts every row and draws from the same random stream. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { UserError } from "../../../../src/errors.ts";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { randomKey } from "../../../../src/merge/job/random-key.ts";
import { method as della } from "../../../../src/merge/methods/task-vectors/della.ts";
import { method as dellaLinear } from "../../../../src/merge/methods/task-vectors/della-linear.ts";
import { method as taskArithmetic } from "../../../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { method as ties } from "../../../../src/merge/methods/task-vectors/ties.ts";
import { chances } from "../../../../src/merge/updates/sparsify-by-rank.ts";
import { covers } from "../../../support/covers.ts";
import { normals } from "../../../support/random.ts";
import { apart, deltas, family, runMethod, SHAPES, type Trial, testShapes } from "../../run-method.ts";

covers("merge/fill-masks", "merge/rank-masks");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

/** The bits of wgsl/lib/random.wgsl. */
function randomBits(index: number, [x, y]: readonly [number, number]): number {
  let h = (index ^ x) >>> 0;
  h = Math.imul(h ^ (h >>> 17), 0xed5ad4bb);
  h = (h ^ (h >>> 11)) >>> 0;
  h = Math.imul((h + y) >>> 0, 0xac4c1b51);
  h = Math.imul(h ^ (h >>> 15), 0x31848bab);
  return (h ^ (h >>> 14)) >>> 0;
}

/** Which entries survive: ranks by magnitude within the row, of equal ones the lower index first. */
function survivors(delta: Float32Array, columns: number, density: number, epsilon: number, key: [number, number]) {
  const { lowest, step } = chances(density, epsilon, columns);
  const keep = new Array<boolean>(delta.length);
  for (let from = 0; from < delta.length; from += columns) {
    const order = Array.from({ length: columns }, (_, c) => from + c);
    order.sort((a, b) => Math.abs(delta[a]!) - Math.abs(delta[b]!) || a - b);
    for (const [rank, at] of order.entries()) {
      const chance = lowest + Math.floor(Math.fround(rank * Math.fround(step)));
      keep[at] = randomBits(at, key) >>> 8 < chance;
    }
  }
  return keep;
}

// Products with these weights are exact, so that a vote of exactly 0 is one on both sides.
const TRIALS = { weight: [0.75, -0.5, 1.25], density: [0.6, 0.3, 1], epsilon: [0.2, 0.15, 0.15] };

function reference(trial: Trial, elect: boolean, rescale: boolean): Float64Array {
  const { weight, density, epsilon } = TRIALS;
  const columns = trial.shape.at(-1)!;
  const vectors = deltas(trial.base!, trial.models).map((delta, k) => {
    const all = density[k]! >= 1;
    const key = randomKey(trial.seed ?? 0, "weight", k);
    const keep = all ? [] : survivors(delta, columns, density[k]!, epsilon[k]!, key);
    const left = delta.map((value, i) => (all || keep[i] ? value : 0));
    const norm = (values: Float32Array) => values.reduce((sum, value) => sum + Math.abs(value), 0);
    const scale = rescale && norm(left) > 1e-7 ? norm(delta) / norm(left) : 1;
    return Float64Array.from(left, (value) => value * scale * weight[k]!);
  });
  return Float64Array.from(trial.base!, (value, i) => {
    const here = vectors.map((vector) => vector[i]!);
    const sum = here.reduce((a, b) => a + b, 0);
    if (!elect) return value + sum;
    const sign = sum >= 0 ? 1 : -1;
    return value + here.reduce((a, b) => (Math.sign(b) === sign ? a + b : a), 0);
  });
}

describe("the survivors", () => {
  test("are those of a sort and the same random stream, whatever the shape, the chunks and the other models", async () => {
    for (const [s, shape] of [...SHAPES, [2, 2100], [70, 64]].entries()) {
      const size = shape.reduce((a, b) => a * b, 1);
      const trial: Trial = { shape, ...family(size, 3, 60 + s), perModel: { ...TRIALS }, seed: s };
      for (const rescale of [false, true]) {
        const chunkValues = s % 2 === 0 ? Math.max(64, 3 * shape.at(-1)!) : 1 << 20;
        const one = { ...trial, chunkValues, values: { rescale, normalize: false } };
        expect(apart(await runMethod(gpu, dellaLinear, one), reference(trial, false, rescale))).toBeLessThan(5e-7);
        expect(apart(await runMethod(gpu, della, one), reference(trial, true, rescale))).toBeLessThan(5e-7);
      }
    }
  });

  test("are more of the large ones: chances rise from density - epsilon to density + epsilon over a row", async () => {
    const [rows, columns] = [500, 400];
    const base = new Float32Array(rows * columns);
    // Magnitudes rise along the row, signs alternate.
    const model = base.map((_, i) => (1 + (i % columns)) * (i % 2 === 0 ? 1 : -1));
    const perModel = { weight: [1], density: [0.5], epsilon: [0.3] };
    const trial = { shape: [rows, columns], base, models: [model], perModel, values: { rescale: false }, seed: 3 };
    const found = await runMethod(gpu, dellaLinear, trial);
    for (const third of [0, 100, 200, 300]) {
      let kept = 0;
      for (let r = 0; r < rows; r++) {
        for (let c = third; c < third + 100; c++) if (found[r * columns + c] !== 0) kept++;
      }
      const wanted = 0.2 + (0.6 * (third + 49.5)) / (columns - 1);
      expect(Math.abs(kept / (100 * rows) - wanted)).toBeLessThan(5 * Math.sqrt(0.25 / (100 * rows)));
    }
  });

  test("change with the seed, the tensor and the model", async () => {
    const { base, models } = family(4096, 1, 2);
    const perModel = { weight: [1], density: [0.5], epsilon: [0.1] };
    const trial = { shape: [64, 64], base, models, perModel, values: { rescale: false } };
    const found = await runMethod(gpu, dellaLinear, trial);
    const same = (other: Float32Array) => other.reduce((n, value, i) => n + Number(value === found[i]), 0) / 4096;
    expect(same(await runMethod(gpu, dellaLinear, trial))).toBe(1);
    // Half of the entries agree by chance, a seventh has no change at all.
    for (const other of [{ seed: 1 }, { name: "other" }]) {
      const share = same(await runMethod(gpu, dellaLinear, { ...trial, ...other }));
      expect(share).toBeGreaterThan(0.5);
      expect(share).toBeLessThan(0.65);
    }
    const twice = {
      ...trial,
      models: [models[0]!, models[0]!],
      perModel: { weight: [1, 1], density: [0.5, 0.5], epsilon: [0.1, 0.1] },
    };
    const both = deltas(base, [await runMethod(gpu, dellaLinear, twice)])[0]!;
    const once = deltas(base, models)[0]!;
    expect(both.filter((value, i) => once[i] !== 0 && value === once[i]).length).toBeGreaterThan(1000); // kept of one only
  });
});

describe("a single column", () => {
  test("is kept with the density itself", () => {
    expect(chances(0.5, 0.2, 1)).toEqual({ lowest: 2 ** 23, step: 0 });
    expect(chances(0.5, 0.25, 3)).toEqual({ lowest: 2 ** 22, step: 2 ** 22 });
  });
});

describe("refusals", () => {
  test("name the tensor, the model and the numbers", async () => {
    const { base, models } = family(35, 2, 1);
    const trial = {
      shape: [5, 7],
      base,
      models,
      perModel: { weight: [1, 1], density: [0.5, 0.1], epsilon: [0.15, 0.15] },
    };
    const failure = runMethod(gpu, della, trial);
    expect(failure).rejects.toThrow(UserError);
    expect(failure).rejects.toThrow("weight: density 0.1 -/+ epsilon 0.15 of model 2 does not lie between 0 and 1");
    const above = { ...trial, perModel: { ...trial.perModel, density: [0.9, 1] } };
    expect(runMethod(gpu, della, above)).rejects.toThrow("weight: density 0.9 -/+ epsilon 0.15 of model 1");
    await Promise.allSettled([failure]);
  });

  test("leave densities of 0 and 1 alone", async () => {
    const { base, models } = family(35, 2, 1);
    const trial = { shape: [5, 7], base, models, values: { normalize: false } };
    const perModel = { weight: [1, 1], density: [0, 1], epsilon: [0.15, 0.15] };
    expect(await runMethod(gpu, dellaLinear, { ...trial, perModel })).toEqual(models[1]!);
    const mixed = { ...trial, values: { normalize: false, rescale: false } };
    const half = await runMethod(gpu, dellaLinear, { ...mixed, perModel: { ...perModel, density: [0, 0.5] } });
    const vector = deltas(base, models)[1]!;
    expect(half.every((value, i) => value === base[i] || value === Math.fround(base[i]! + vector[i]!))).toBe(true);
  });
});

describe("laws", () => {
  test("lambda 0 returns the base", async () => {
    const { base, models } = family(35, 2, 5);
    const trial = {
      shape: [5, 7],
      base,
      models,
      values: { lambda: 0 },
      perModel: { weight: [1, 2], density: [0.5, 0.5] },
    };
    for (const method of [della, dellaLinear]) expect(await runMethod(gpu, method, trial)).toEqual(base);
  });

  test("one model of density 1 is that model, whatever its weight", async () => {
    const { base, models } = family(33 * 129, 1, 6);
    const trial = { shape: [33, 129], base, models, perModel: { weight: [0.37] } };
    expect(apart(await runMethod(gpu, della, trial), models[0]!)).toBeLessThan(2e-7);
    const equal = { ...trial, models: [models[0]!, models[0]!], perModel: { weight: [1, 1] } };
    expect(apart(await runMethod(gpu, della, equal), models[0]!)).toBeLessThan(2e-7);
  });

  test("densities of 1 give task arithmetic, with and without the election of ties", async () => {
    const { base, models } = family(33 * 129, 3, 6);
    const trial = { shape: [33, 129], base, models, perModel: { weight: [0.7, -0.2, 0.5] } };
    const plain = await runMethod(gpu, taskArithmetic, trial);
    expect(await runMethod(gpu, dellaLinear, trial)).toEqual(plain);
    expect(await runMethod(gpu, della, trial)).toEqual(await runMethod(gpu, ties, trial));
  });

  test("rescaling gives a task vector its L1 norm back", async () => {
    const base = new Float32Array(64 * 300);
    const model = normals(12, base.length);
    const trial = { shape: [64, 300], base, models: [model], perModel: { weight: [1], density: [0.4] } };
    const norm = (values: Float32Array) => values.reduce((sum, value) => sum + Math.abs(value), 0);
    const found = await runMethod(gpu, dellaLinear, trial);
    expect(norm(found) / norm(model)).toBeCloseTo(1, 5);
    expect(found.filter((value) => value !== 0).length / found.length).toBeCloseTo(0.4, 1);
  });

  testShapes(() => gpu, della, { perModel: { weight: 0.5, density: 0.4, epsilon: 0.1 }, models: 2 });
  testShapes(() => gpu, dellaLinear, { perModel: { weight: 0.5, density: 0.4, epsilon: 0.1 }, models: 1 });
});
