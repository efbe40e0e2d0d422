/** RegMean against the normal equations of rows that the tests know, solved in float64 by elimination. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { method as regmean } from "../../../../src/merge/methods/averages/regmean.ts";
import { gramSolution } from "../../../../src/merge/updates/gram-solve.ts";
import { symmetricInverse } from "../../../../src/tensor/linear-algebra/cholesky.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { writeCheckpoint } from "../../checkpoint-file.ts";
import { mergeArrays, mergeOne } from "../../merge-arrays.ts";
import { gramOf, reference } from "../../normal-equations.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(path.join(os.tmpdir(), "regmean-"));
afterAll(() => rmSync(folder, { recursive: true }));

const name = "model.layers.0.mlp.up_proj.weight";
const values = (size: number, seed: number) => Float32Array.from(randomArray(size, normal(seed)));

/** Rows of activations whose columns are alike and of very different size. */
function inputs(rows: number, side: number, seed: number): Float64Array {
  const own = randomArray(rows * side, normal(seed));
  const common = randomArray(rows, normal(seed + 50));
  return own.map((x, i) => (x + common[Math.floor(i / side)]!) * 10 ** ((i % side) % 3));
}

const write = (tensors: Record<string, { shape: readonly number[]; values: ArrayLike<number> }>) => {
  const stats = path.join(folder, `${crypto.randomUUID()}.safetensors`);
  writeCheckpoint(stats, tensors);
  return { stats };
};

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

const turned = (x: ArrayLike<number>, rows: number, columns: number) =>
  Float32Array.from({ length: rows * columns }, (_, at) => x[(at % rows) * columns + Math.floor(at / rows)]!);

describe("regmean", () => {
  const [out, side] = [5, 7];
  const models = [1, 2, 3].map((k) => values(out * side, k));
  const data = [1, 2, 3].map((k) => inputs(40, side, 20 + k));
  const grams = data.map((x) => gramOf(x, side));
  const shape = [out, side];
  const stats = grams.map((values) => write({ [name]: { shape: [side, side], values } }));

  test("solves the normal equations, with shares and reduced entries", async () => {
    for (const reduce of [1, 0.9, 0.3, 0]) {
      const found = await mergeOne(gpu, regmean, { name, shape, models }, { values: { reduce }, perModel: stats });
      expect(apart(found, reference(models, grams, side, { reduce }))).toBeLessThan(1e-5);
    }
    const weights = [1, 0, 3];
    const perModel = stats.map((one, k) => ({ ...one, weight: weights[k] }));
    const found = await mergeOne(gpu, regmean, { name, shape, models }, { perModel, chunkValues: 64 });
    expect(apart(found, reference(models, grams, side, { reduce: 0.9, weights }))).toBeLessThan(1e-5);
  });

  test("gives outputs that are nearer to all models' than any model or their mean does", async () => {
    const found = await mergeOne(gpu, regmean, { name, shape, models }, { values: { reduce: 1 }, perModel: stats });
    const error = (w: ArrayLike<number>) =>
      models.reduce((total, own, k) => {
        const x = data[k]!;
        let sum = 0;
        for (let r = 0; r < x.length / side; r++)
          for (let o = 0; o < out; o++) {
            let gap = 0;
            for (let i = 0; i < side; i++) gap += x[r * side + i]! * (w[o * side + i]! - own[o * side + i]!);
            sum += gap * gap;
          }
        return total + sum;
      }, 0);
    const mean = models[0]!.map((_, i) => models.reduce((sum, own) => sum + own[i]!, 0) / 3);
    for (const other of [mean, ...models]) expect(error(found)).toBeLessThan(0.99 * error(other));
    for (const i of [0, 9, 34]) expect(error(found.with(i, found[i]! + 0.02))).toBeGreaterThan(error(found));
  });

  test("weights that inputs meet first, experts of a stack and experts by name", async () => {
    const wanted = reference(models, grams, side, { reduce: 0.9 });
    const inFirst = grams.map((values) => write({ [`${name}@in-first`]: { shape: [side, side], values } }));
    const flipped = models.map((model) => turned(model, out, side));
    const found = await mergeOne(gpu, regmean, { name, shape: [side, out], models: flipped }, { perModel: inFirst });
    expect(apart(turned(found, side, out), wanted)).toBeLessThan(1e-5);

    const twice = (x: Float32Array) => Float32Array.from([...x, ...x.map((v) => 2 * v)]);
    const stack = "model.layers.0.mlp.experts.up_proj";
    const perModel = grams.map((values) => write({ [stack]: { shape: [2, side, side], values: twice(values) } }));
    const given = { name: stack, shape: [2, out, side], models: models.map(twice) };
    const both = await mergeOne(gpu, regmean, given, { perModel, chunkValues: 64 });
    expect(apart(both.subarray(0, 35), wanted)).toBeLessThan(1e-5);
    expect(
      apart(
        both.subarray(35),
        wanted.map((x) => 2 * x),
      ),
    ).toBeLessThan(2e-5);
    const one = { name: "model.layers.0.mlp.experts.1.up_proj.weight", shape, models };
    expect(apart(await mergeOne(gpu, regmean, one, { perModel }), wanted)).toBeLessThan(1e-5);
  });

  test("one model comes back, and inputs that no model has are averaged", async () => {
    expect(await mergeOne(gpu, regmean, { name, shape, models: [models[0]!] }, { perModel: [stats[0]!] })).toEqual(
      models[0]!,
    );
    const dead = data.map((x) =>
      gramOf(
        x.map((v, i) => (i % side === 2 ? 0 : v)),
        side,
      ),
    );
    const perModel = dead.map((values, k) => ({
      ...write({ [name]: { shape: [side, side], values } }),
      weight: k + 1,
    }));
    const found = await mergeOne(gpu, regmean, { name, shape, models }, { perModel });
    for (let r = 0; r < out; r++) {
      const at = r * side + 2;
      expect(found[at]).toBeCloseTo((models[0]![at]! + 2 * models[1]![at]! + 3 * models[2]![at]!) / 6, 5);
    }
  });

  test("averages what has no Gram matrix, and says so of matrices", async () => {
    const told: string[] = [];
    const tensors = [
      { name, shape, models },
      { name: "model.layers.1.mlp.up_proj.weight", shape, models },
      { name: "model.norm.weight", shape: [35], models },
      { name: "lm_head.weight", shape, models },
    ];
    const options = { perModel: stats, remark: (what: string, tensor: string) => told.push(`${what}: ${tensor}`) };
    const merged = await mergeArrays(gpu, regmean, tensors, options);
    const mean = models[0]!.map((_, i) => models.reduce((sum, own) => sum + own[i]!, 0) / 3);
    for (const { name } of tensors.slice(1)) expect(apart(merged.values.get(name)!, mean)).toBeLessThan(1e-6);
    expect(told).toEqual([
      "averaged plainly, since not every model has a Gram matrix of it: model.layers.1.mlp.up_proj.weight",
    ]);
  });

  test("refuses matrices without an inverse, of another shape, and files of something else", async () => {
    const flat = data.map((x) =>
      write({ [name]: { shape: [side, side], values: gramOf(x.subarray(0, 2 * side), side) } }),
    );
    const merge = (perModel: Record<string, unknown>[], reduce = 0.9) =>
      mergeOne(gpu, regmean, { name, shape, models }, { perModel, values: { reduce } });
    expect(merge(flat, 1)).rejects.toThrow(`the Gram matrices of ${name} have no inverse at reduce 1`);
    expect((await merge(flat)).every(Number.isFinite)).toBe(true);
    const narrow = stats.with(1, write({ [name]: { shape: [2, 2], values: [1, 0, 0, 1] } }));
    expect(merge(narrow)).rejects.toThrow("expected (7, 7)");
    expect(merge(stats.with(1, write({ other: { shape: [1], values: [1] } })))).rejects.toThrow(
      "No tensor has Gram matrices",
    );
  });

  test.each([false, true])("what the GPU multiplies is what the host does, inputs first: %p", async (inFirst) => {
    const [rows, columns] = inFirst ? [48, 33] : [33, 48];
    const n = 48;
    const x = [1, 2].map((k) => gramOf(inputs(200, n, k), n));
    const tau = [new Float32Array(rows * columns), values(rows * columns, 5)];
    using held = gpu.upload(Float32Array.from(tau.flatMap((one) => [...one])), "differences");
    const d = { buffer: held.buffer, pitch: rows * columns, rows, columns, inFirst };
    const of = { side: n, count: 2, reduce: 0.9, weights: [1, 2], read: async (k: number) => x[k]!.slice() };
    const [host, device] = [await gramSolution(gpu, d, of), await gramSolution(gpu, d, of, 0)];
    const most = Math.max(...host!.map(Math.abs));
    expect(apart(device!, host!)).toBeLessThan(3e-5 * most);
  });
});

test("the inverse of a symmetric matrix times it is the identity", () => {
  for (const n of [1, 2, 9, 30]) {
    const x = inputs(3 * n, n, n);
    const a = Float64Array.from(gramOf(x, n));
    const inverse = symmetricInverse(a, n)!;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let k = 0; k < n; k++) sum += inverse[i * n + k]! * a[k * n + j]!;
        expect(sum).toBeCloseTo(Number(i === j), 5);
      }
    }
  }
  expect(symmetricInverse(Float64Array.of(1, 2, 2, 1), 2)).toBeUndefined();
});
