/** Stretched directions against the definition, in f64 with an exact decomposition. */
import { expect, test } from "bun:test";
import { Random } from "../../../../src/data/random.ts";
import { method as svdScale } from "../../../../src/merge/methods/task-vectors/svd-scale.ts";
import { method as arithmetic } from "../../../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { svd } from "../../../../src/tensor/linear-algebra/svd.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { mergeOne } from "../../merge-arrays.ts";

const name = "model.layers.0.mlp.up_proj.weight";
const arrays = (size: number, count: number, seed = 0) =>
  Array.from({ length: count }, (_, k) => randomArray(size, normal(seed + k + 3), 0.5).map(Math.fround));

const merged = async (
  shape: readonly number[],
  [base, ...models]: readonly Float64Array[],
  values: Record<string, unknown>,
  weights: readonly number[],
  tensor = name,
) => {
  const perModel = weights.map((weight) => ({ weight }));
  return mergeOne(
    await sharedGpu(),
    svdScale,
    { name: tensor, shape, base: base!, models },
    {
      ...{ values, perModel, chunkValues: 64 },
    },
  );
};

/** base + lambda sum_k w_k tau_k + lambda sum_m U diag(u S) V^T, by the definition. */
function expected(
  [rows, columns]: readonly [number, number],
  [base, ...models]: readonly Float64Array[],
  { lambda, weights, mutations }: { lambda: number; weights: number[]; mutations: [number, number, number][] },
  index = 0,
): Float64Array {
  const taus = models.map((model) => model.map((x, i) => x - base![i]!));
  const update = base!.map((_, i) => taus.reduce((sum, tau, k) => sum + weights[k]! * tau[i]!, 0));
  for (const [model, seed, size] of mutations) {
    const { u, s, v } = svd(taus[model]!, rows, columns);
    const random = new Random(seed, "svd-scale", model, name, index);
    for (const [r, value] of s.entries()) {
      const factor = size * random.uniform() * value;
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++)
          update[i * columns + j]! += factor * u[i * s.length + r]! * v[j * s.length + r]!;
    }
  }
  return base!.map((x, i) => x + lambda * update[i]!);
}

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

test.each([
  ["tall", 13, 6],
  ["wide", 5, 18],
  ["square", 8, 8],
] as const)("lengthens singular directions by its definition: %s", async (_, rows, columns) => {
  const all = arrays(rows * columns, 3, rows);
  const found = await merged([rows, columns], all, { lambda: 0.7, mutations: "2:9:0.5,1:4:0.2,2:1:-0.1" }, [0.3, 0.6]);
  const mutations: [number, number, number][] = [
    [1, 9, 0.5],
    [0, 4, 0.2],
    [1, 1, -0.1],
  ];
  expect(apart(found, expected([rows, columns], all, { lambda: 0.7, weights: [0.3, 0.6], mutations }))).toBeLessThan(
    2e-5,
  );
});

test("without mutations, or with those of size 0, it is task arithmetic to the bit", async () => {
  const [base, ...models] = arrays(60, 3);
  const given = { name, shape: [6, 10], base: base!, models };
  const perModel = [{ weight: 0.5 }, { weight: 0.5 }];
  const plain = await mergeOne(await sharedGpu(), arithmetic, given, { perModel });
  for (const mutations of ["", "1:3:0"])
    expect(await merged([6, 10], [base!, ...models], { mutations }, [0.5, 0.5])).toEqual(plain);
});

test("the same seed stretches alike, beside whatever else, and another seed otherwise", async () => {
  const all = arrays(60, 3, 5);
  const once = await merged([6, 10], all, { mutations: "1:3:0.2" }, [1, 0]);
  expect(await merged([6, 10], all, { mutations: "1:3:0.2" }, [1, 0])).toEqual(once);
  expect(apart(await merged([6, 10], all, { mutations: "1:4:0.2" }, [1, 0]), once)).toBeGreaterThan(1e-3);
  const halves = await merged([6, 10], all, { mutations: "1:3:0.1,1:3:0.1" }, [1, 0]);
  expect(apart(halves, once)).toBeLessThan(1e-6);
});

test("experts of a stack are matrices of their own", async () => {
  const all = arrays(3 * 24, 2, 2);
  const found = await merged([3, 4, 6], all, { mutations: "1:5:0.3" }, [1]);
  for (const index of [0, 1, 2]) {
    const part = all.map((values) => values.slice(24 * index, 24 * index + 24));
    const want = expected([4, 6], part, { lambda: 1, weights: [1], mutations: [[0, 5, 0.3]] }, index);
    expect(apart(found.slice(24 * index, 24 * index + 24), want)).toBeLessThan(2e-5);
  }
});

test("tables and norms are not stretched", async () => {
  const all = [Float64Array.of(0, 0, 0, 0), Float64Array.of(1, 2, 3, 4)];
  for (const tensor of ["model.embed_tokens.weight", "lm_head.weight"])
    expect([...(await merged([2, 2], all, { mutations: "1:3:0.5" }, [0.5], tensor))]).toEqual([0.5, 1, 1.5, 2]);
});

test("what is not finite shows, and stretches nothing", async () => {
  const all = arrays(12, 2);
  all[1]![5] = Number.NaN;
  const found = await merged([3, 4], all, { mutations: "1:3:0.5" }, [1]);
  expect([...found].flatMap((x, i) => (Number.isNaN(x) ? [i] : []))).toEqual([5]);
});

test.each(["1", "0:3:0.1", "1.5:3:0.1", "1:3:", "1:3:x", "1:3:0.1,"])("refuses %p", async (mutations) => {
  const part = JSON.stringify(mutations.split(",").at(-1));
  expect(merged([3, 4], arrays(12, 2), { mutations }, [1])).rejects.toThrow(`mutations: ${part} is no mutation`);
});

test("refuses a model that is not there", async () => {
  expect(merged([3, 4], arrays(12, 2), { mutations: "2:3:0.1" }, [1])).rejects.toThrow(
    "mutations: there is no model 2",
  );
});
