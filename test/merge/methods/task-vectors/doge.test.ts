import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { method as doge } from "../../../../src/merge/methods/task-vectors/doge.ts";
import { sharedSubspace, subspaceRanks } from "../../../../src/merge/updates/shared-subspace.ts";
import { svd } from "../../../../src/tensor/linear-algebra/svd.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { mergeArrays, mergeOne } from "../../merge-arrays.ts";

covers("merge/doge", "merge/adam", "merge/doge-gradient", "merge/task-vector");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const norm = (x: ArrayLike<number>) => Math.sqrt(Array.from(x).reduce((sum, value) => sum + value * value, 0));
const name = "model.layers.0.mlp.up_proj.weight";

function deltas(size: number, k: number, scale = 0.5): Float64Array[] {
  return Array.from({ length: k }, (_, r) => randomArray(size, normal(r + 5), scale).map(Math.fround));
}

/** First columns of the left singular vectors. */
function left(matrix: ArrayLike<number>, rows: number, columns: number, rank: number): number[][] {
  const { u, s } = svd(matrix, rows, columns);
  return Array.from({ length: rank }, (_, j) => Array.from({ length: rows }, (_, i) => u[i * s.length + j]!));
}

/** The shared basis as columns, from its definition. */
function basisOf(tau: readonly Float64Array[], rows: number, columns: number, divisor: number): number[][] {
  const [own, rank] = subspaceRanks(rows, columns, tau.length, divisor);
  const side = tau.flatMap((matrix) => left(matrix, rows, columns, own));
  const flat = Float64Array.from(
    { length: rows * side.length },
    (_, at) => side[at % side.length]![Math.floor(at / side.length)]!,
  );
  return left(flat, rows, side.length, rank);
}

/** x minus its part in the span, in place. */
function project(x: Float64Array, basis: readonly number[][], rows: number, columns: number): void {
  for (let c = 0; c < columns; c++) {
    const dots = basis.map((b) => b.reduce((sum, value, i) => sum + value * x[i * columns + c]!, 0));
    for (let i = 0; i < rows; i++) for (const [j, b] of basis.entries()) x[i * columns + c]! -= dots[j]! * b[i]!;
  }
}

interface Given {
  readonly eta: number;
  readonly steps: number;
  readonly lr: number;
  readonly subspace: number;
  readonly exact: boolean;
}

/**
 * Delta by f64 loops: objective, gradient by definition, projection, Adam. Also returns the objective before and after.
 */
function reference(tau: readonly Float64Array[], rows: number, columns: number, given: Given) {
  const lambdas = tau.map((matrix) => given.eta / norm(matrix));
  const total = lambdas.reduce((a, b) => a + b, 0);
  const basis = basisOf(tau, rows, columns, given.subspace);
  const delta = new Float64Array(rows * columns);
  const residual = (o: number, j: number) => {
    let sum = 0;
    for (let i = 0; i < columns; i++) {
      const at = o * columns + i;
      const merged = tau.reduce((part, matrix, k) => part + lambdas[k]! * matrix[at]!, total * delta[at]!);
      sum += tau[j]![at]! * (tau[j]![at]! - merged);
    }
    return sum;
  };
  const objective = () => {
    let sum = 0;
    for (let o = 0; o < rows; o++) for (const j of tau.keys()) sum += residual(o, j) ** 2;
    return sum;
  };
  const before = objective();
  const m = new Float64Array(delta.length);
  const v = new Float64Array(delta.length);
  for (let t = 1; t <= given.steps; t++) {
    const g = new Float64Array(delta.length);
    for (let o = 0; o < rows; o++) {
      for (const [j, matrix] of tau.entries()) {
        const factor = -2 * total * residual(o, j);
        for (let i = 0; i < columns; i++) g[o * columns + i]! += factor * matrix[o * columns + i]!;
      }
    }
    project(g, basis, rows, columns);
    for (let i = 0; i < g.length; i++) {
      m[i] = 0.9 * m[i]! + 0.1 * g[i]!;
      v[i] = 0.999 * v[i]! + 0.001 * g[i]! ** 2;
      delta[i]! -= (given.lr * m[i]!) / (1 - 0.9 ** t) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8);
    }
    if (given.exact) project(delta, basis, rows, columns);
  }
  return { delta, lambdas, total, basis, before, after: objective() };
}

describe("doge", () => {
  test("no steps and no mask are norm-balanced task arithmetic", async () => {
    for (const shape of [
      [12, 20],
      [257, 1],
      [1, 1],
      [3, 5],
    ]) {
      const size = shape.reduce((a, b) => a * b, 1);
      const tau = deltas(size, 3);
      const base = Float32Array.from(randomArray(size, normal(1)));
      const models = tau.map((d) => Float32Array.from(d, (x, i) => x + base[i]!));
      const found = await mergeOne(gpu, doge, { name, shape, base, models }, { values: { steps: 0, topk: 1 } });
      for (const [i, value] of found.entries()) {
        expect(value).toBeCloseTo(base[i]! + tau.reduce((sum, d) => sum + (0.07 * d[i]!) / norm(d), 0), 4);
      }
    }
  });

  test("follows the f64 loops step by step, for wide, tall and odd shapes", async () => {
    for (const [rows, columns, k] of [
      [12, 20, 2],
      [20, 13, 3],
      [7, 7, 1],
      [1, 9, 2],
      [71, 70, 2],
    ] as const) {
      for (const exact of [false, true]) {
        const given = { eta: 0.5, steps: 12, lr: 1e-2, subspace: 3, exact };
        const tau = deltas(rows * columns, k);
        const wanted = reference(tau, rows, columns, given);
        const { exact: exact_projection, ...rest } = given;
        const tensor = { name, shape: [rows, columns], base: new Float64Array(rows * columns), models: tau };
        const values = { ...rest, exact_projection, topk: 1 };
        const found = await mergeOne(gpu, doge, tensor, { values });
        const merged = (i: number) =>
          tau.reduce((sum, d, j) => sum + wanted.lambdas[j]! * (d[i]! + wanted.delta[i]!), 0);
        for (const [i, value] of found.entries()) expect(Math.abs(value - merged(i))).toBeLessThan(2e-4);
        expect(await mergeOne(gpu, doge, tensor, { values, chunkValues: 3 * columns })).toHaveLength(rows * columns);
        expect(wanted.after).toBeLessThanOrEqual(wanted.before);
        const basis = wanted.basis;
        if (!exact || basis.length === 0) continue;
        // The correction that came back has no part in the shared subspace.
        const delta = Float64Array.from(found, (x, i) => {
          return (x - tau.reduce((sum, d, j) => sum + wanted.lambdas[j]! * d[i]!, 0)) / wanted.total;
        });
        const outside = delta.slice();
        project(outside, basis, rows, columns);
        expect(norm(delta.map((x, i) => x - outside[i]!))).toBeLessThan(1e-4);
      }
    }
  });

  test("chunks change nothing but rounding", async () => {
    const tau = deltas(600, 2);
    const tensor = { name, shape: [20, 30], base: new Float64Array(600), models: tau };
    const values = { steps: 5, lr: 1e-2 };
    const whole = await mergeOne(gpu, doge, tensor, { values });
    const parts = await mergeOne(gpu, doge, tensor, { values, chunkValues: 100 });
    for (const [i, value] of parts.entries()) expect(value).toBeCloseTo(whole[i]!, 5);
  });

  test("the mask keeps the largest values over all matrices, and counts no other tensor", async () => {
    const [large, small] = [deltas(100, 1)[0]!, deltas(100, 1, 0.001)[0]!];
    const zero = new Float64Array(100);
    const tensors = [
      { name: "a.weight", shape: [10, 10], base: zero, models: [large] },
      { name: "b.weight", shape: [10, 10], base: zero, models: [small] },
      { name: "norm.weight", shape: [100], base: zero, models: [deltas(100, 1, 100)[0]!] },
    ];
    const { values } = await mergeArrays(gpu, doge, tensors, { values: { topk: 0.25 } });
    expect(values.get("b.weight")!.every((x) => x === 0)).toBe(true);
    expect(values.get("a.weight")!.filter((x) => x !== 0).length).toBe(50);
    expect(values.get("norm.weight")!.every((x) => x === 0)).toBe(true);
  });

  test("norms, biases, embeddings and the head stay those of the base, bit by bit", async () => {
    const base = Float32Array.from(randomArray(240, normal(1)));
    const models = deltas(240, 2);
    for (const [name, shape] of [
      ["model.embed_tokens.weight", [12, 20]],
      ["lm_head.weight", [12, 20]],
      ["classifier.weight", [12, 20]],
      ["transformer.wpe.weight", [12, 20]],
      ["model.norm.weight", [240]],
      ["model.layers.0.self_attn.q_proj.bias", [240]],
    ] as const)
      expect(await mergeOne(gpu, doge, { name, shape, base, models }, { values: { topk: 1 } })).toEqual(base);
  });

  test("models equal to the base get no correction", async () => {
    const base = Float32Array.from(randomArray(240, normal(1)));
    expect(await mergeOne(gpu, doge, { name, shape: [12, 20], base, models: [base, base] })).toEqual(base);
  });

  test("subspace iteration finds the shared subspace that the exact decomposition finds", async () => {
    // Task vectors of low rank with common directions: the spans are well defined.
    const [rows, columns, count] = [24, 40, 4];
    const common = [1, 2].map((seed) => randomArray(rows, normal(seed)));
    const tau = Array.from({ length: count }, (_, k) => {
      const sides = [...common, ...[10, 11, 12, 13].map((seed) => randomArray(rows, normal(seed + 7 * k)))];
      const rights = sides.map((_, j) => randomArray(columns, normal(100 + 10 * k + j)));
      return Float32Array.from({ length: rows * columns }, (_, at) =>
        sides.reduce((sum, u, j) => sum + u[Math.floor(at / columns)]! * rights[j]![at % columns]!, 0),
      );
    });
    using held = gpu.upload(Float32Array.from(tau.flatMap((matrix) => [...matrix])), "tau");
    const shape = { rows, columns, count };
    expect(subspaceRanks(rows, columns, count, 12)).toEqual([6, 2]);
    for (const exactSide of [100, 0]) {
      const shared = await sharedSubspace(gpu, held.buffer, shape, 12, exactSide);
      const basis = await gpu.readFloats(shared!.basis.buffer, rows * shared!.rank);
      for (const u of common) {
        const inside = [0, 1].reduce((sum, j) => {
          const dot = u.reduce((part, value, i) => part + value * basis[2 * i + j]!, 0);
          return sum + dot * dot;
        }, 0);
        expect(inside / norm(u) ** 2).toBeGreaterThan(exactSide > 0 ? 0.99999 : 0.99);
      }
      shared!.basis.free();
    }
  });
});
