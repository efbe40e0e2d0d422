/** Low-rank factors of a layer: what each is best at, against plain arithmetic. */
import { describe, expect, test } from "bun:test";
import { alternatingFactors } from "../../src/compress/alternating.ts";
import { type Factors, multiplyOut, valuesOf } from "../../src/compress/factorization.ts";
import { readWeights, relativeError } from "../../src/compress/layer.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { layerOf, measuredLayer } from "../support/layer.ts";
import { normals, randomUnits } from "../support/random.ts";
import { sanityLayer } from "./sanity-layer.ts";

covers("compress/conjugate-step");

const gpu = await sharedGpu();

interface Given {
  readonly w: Float32Array;
  readonly rows: number;
  readonly x?: Float32Array;
}

/** Factors, what they multiply to, and the layer's error. */
async function factored(name: string, { w, rows, x }: Given, rank: number, options: Record<string, unknown> = {}) {
  const { method, values } = bindDefaults(await loadMethod("factorization", name), options);
  const run = async (factors: Factors, layer: Parameters<typeof multiplyOut>[0]) => {
    await multiplyOut(layer, factors);
    const after = await readWeights(layer);
    return { factors, after, error: await relativeError(layer, w, after) };
  };
  if (x) {
    using held = measuredLayer(gpu, w, rows, x);
    return run(await method.factor(held.layer, rank, values), held.layer);
  }
  using held = layerOf(gpu, w, rows);
  if (method.needs === "inputs") throw new Error(`${name} needs rows`);
  return run(await method.factor(held.layer, rank, values), held.layer);
}

/** A matrix (rows, columns) of a rank, of incoherent factors. */
function ofRank(rows: number, columns: number, rank: number): Float32Array {
  const [u, v] = [normals(1, rows * rank), normals(2, columns * rank)];
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += u[Math.floor(i / columns) * rank + k]! * v[(i % columns) * rank + k]!;
    return sum;
  });
}

const apart = (a: ArrayLike<number>, b: Float32Array): number => {
  const squares = b.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(b.reduce((sum, x, i) => sum + (x - a[i]!) ** 2, 0) / squares);
};

describe.each(["svd", "asvd", "altmin", "losparse"])("%s", (name) => {
  const layer = sanityLayer(2);
  const few = name === "altmin" ? { sweeps: 5 } : {};
  const plain = name === "losparse" ? { keep_columns: 0 } : few;

  test("a matrix of the rank asked for comes back", async () => {
    const w = ofRank(16, 32, 4);
    const { after, factors } = await factored(name, { ...layer, w }, 4, plain);
    expect(apart(after, w)).toBeLessThan(1e-4);
    expect(valuesOf(factors)).toBe(4 * (16 + 32));
  });

  test("more rank costs less, and the same run gives the same bytes", async () => {
    const errors = [];
    for (const rank of [2, 6, 12, 16]) errors.push((await factored(name, layer, rank, few)).error);
    expect(errors).toEqual(errors.toSorted((a, b) => b - a));
    expect(errors.at(-1)).toBeLessThan(1e-6);
    const [first, again] = [await factored(name, layer, 6, few), await factored(name, layer, 6, few)];
    expect(again.after).toEqual(first.after);
  });

  test("weights that are all 0 stay so", async () => {
    const { after } = await factored(name, { ...layer, w: new Float32Array(16 * 32) }, 4);
    expect(after.every((x) => x === 0)).toBe(true);
  });
});

test("scales of the inputs bring the error of what a layer gives down: svd > asvd > altmin", async () => {
  for (const seed of [0, 1, 2]) {
    const layer = sanityLayer(seed);
    const [svd, asvd, altmin] = [
      await factored("svd", layer, 8),
      await factored("asvd", layer, 8),
      await factored("altmin", layer, 8, { sweeps: 5 }),
    ];
    expect(asvd.error).toBeLessThan(svd.error);
    expect(altmin.error).toBeLessThan(asvd.error);
  }
});

test("asvd with alpha 0 is svd", async () => {
  const layer = sanityLayer(1);
  const [plain, scaled] = [await factored("svd", layer, 5), await factored("asvd", layer, 5, { alpha: 0 })];
  expect(apart(scaled.after, plain.after)).toBeLessThan(1e-5);
});

describe("alternating minimisation", () => {
  test("on all entries it reaches what truncated SVD does", async () => {
    const { w, rows } = sanityLayer(4);
    const [svd, altmin] = [await factored("svd", { w, rows }, 6), await factored("altmin", { w, rows }, 6)];
    const objective = (after: Float32Array) => apart(after, w);
    expect(objective(altmin.after) / objective(svd.after)).toBeCloseTo(1, 5);
  });

  /** A matrix of rank 5 of which a fifth of the entries is known. */
  const [rows, columns, rank] = [150, 130, 5];
  const whole = ofRank(rows, columns, rank);
  const unit = randomUnits(3);
  const missing = Uint32Array.from(whole, () => Number(unit() > 0.2));
  const known = whole.map((x, i) => (missing[i] ? 0 : x));
  const scales = new Float64Array(columns).fill(1);
  const complete = async (steps: number, sweeps: number) => {
    const given = { gpu, weight: known, scales, missing };
    const factors = await alternatingFactors(given, { rank, sweeps, steps });
    using held = layerOf(gpu, new Float32Array(whole.length), rows);
    await multiplyOut(held.layer, factors);
    return apart(await readWeights(held.layer), whole);
  };

  test("it completes a matrix of rank 5 from a fifth of its entries, by few steps to a solve as by exact ones", async () => {
    expect(await complete(rank, 40)).toBeLessThan(1e-4);
    expect(await complete(3, 40)).toBeLessThan(1e-4);
  });

  test("which SVD of the matrix with zeros for what is missing does not", async () => {
    const { after } = await factored("svd", { w: known, rows }, rank);
    expect(apart(after, whole)).toBeGreaterThan(0.5);
    const completed = await factored("altmin", { w: known, rows }, rank, { missing_zeros: true, sweeps: 40 });
    expect(apart(completed.after, whole)).toBeLessThan(1e-4);
  });
});

test("losparse keeps the share of columns asked for, exactly, and those that cost most", async () => {
  const layer = sanityLayer(5);
  const { after, factors } = await factored("losparse", layer, 4, { keep_columns: 0.25, prune_rounds: 6 });
  const kept = factors.rest!.columns;
  expect(kept.length).toBe(8);
  for (const column of kept)
    for (let row = 0; row < 16; row++)
      expect(Math.abs(after[row * 32 + column]! - layer.w[row * 32 + column]!)).toBeLessThan(1e-5);
  const svd = await factored("svd", layer, 4);
  expect((await factored("losparse", layer, 4, { keep_columns: 0.25 })).error).toBeLessThan(0.7 * svd.error);
  expect((await factored("losparse", layer, 4, { keep_columns: 1 })).error).toBeLessThan(1e-9);
});

test("a step of conjugate gradients is that in f64", async () => {
  const [n, k, mu] = [70, 5, 0.25];
  const start = { x: normals(1, n * k), residual: normals(2, n * k), direction: normals(3, n * k) };
  const matrices = normals(4, n * k * k);
  /** A v + mu v, A = B^T B of row i. */
  const image = (i: number, v: ArrayLike<number>, ridge: number): number[] => {
    const b = matrices.subarray(i * k * k, (i + 1) * k * k);
    const inner = Array.from({ length: k }, (_, r) => v0(b, v, r));
    return Array.from({ length: k }, (_, c) => {
      let sum = ridge * v[c]!;
      for (let r = 0; r < k; r++) sum += b[r * k + c]! * inner[r]!;
      return sum;
    });
  };
  const v0 = (b: Float32Array, v: ArrayLike<number>, r: number): number => {
    let sum = 0;
    for (let c = 0; c < k; c++) sum += b[r * k + c]! * v[c]!;
    return sum;
  };
  const row = (values: Float32Array, i: number) => values.subarray(i * k, (i + 1) * k);
  using x = gpu.upload(start.x, "x");
  using residual = gpu.upload(start.residual, "residual");
  using direction = gpu.upload(start.direction, "direction");
  const kernel = await gpu.kernel("compress/conjugate-step");
  const run = (images: Float32Array, first: number) => {
    using held = gpu.upload(images, "image");
    const bind = { image: held.buffer, x: x.buffer, residual: residual.buffer, direction: direction.buffer };
    gpu.run(kernel, { bind, params: { n, k, mu, first }, groups: [Math.ceil(n / 64)] });
  };
  run(new Float32Array(n * k), 1);
  const began = await gpu.readFloats(residual.buffer, n * k);
  expect(began.every((r, i) => Math.abs(r - (start.residual[i]! - mu * start.x[i]!)) < 1e-6)).toBe(true);
  expect(await gpu.readFloats(direction.buffer, n * k)).toEqual(began);
  run(
    flat(n, (i) => image(i, row(began, i), 0)),
    0,
  );
  const moved = await gpu.readFloats(x.buffer, n * k);
  const left = await gpu.readFloats(residual.buffer, n * k);
  const turned = await gpu.readFloats(direction.buffer, n * k);
  for (let i = 0; i < n; i++) {
    const p = row(began, i);
    const by = image(i, p, mu);
    const before = p.reduce((sum, v) => sum + v * v, 0);
    const along = before / p.reduce((sum, v, c) => sum + v * by[c]!, 0);
    const after = p.map((v, c) => v - along * by[c]!);
    const turn = after.reduce((sum, v) => sum + v * v, 0) / before;
    for (let c = 0; c < k; c++) {
      expect(moved[i * k + c]!).toBeCloseTo(start.x[i * k + c]! + along * p[c]!, 4);
      expect(left[i * k + c]!).toBeCloseTo(after[c]!, 3);
      expect(turned[i * k + c]!).toBeCloseTo(after[c]! + turn * p[c]!, 3);
    }
  }
});

const flat = (n: number, row: (i: number) => number[]): Float32Array =>
  Float32Array.from(Array.from({ length: n }, (_, i) => row(i)).flat());
