/** Iso-C, Iso-CTS and TSV-Merge against their equations in f64, by another decomposition than theirs. */
import { describe, expect, test } from "bun:test";
import type { MergeMethod } from "../../../../src/merge/contract.ts";
import { method as isoC } from "../../../../src/merge/methods/task-vectors/iso-c.ts";
import { method as isoCts, isoRanks } from "../../../../src/merge/methods/task-vectors/iso-cts.ts";
import { method as tsvM } from "../../../../src/merge/methods/task-vectors/tsv-m.ts";
import { svd } from "../../../../src/tensor/linear-algebra/svd.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { mergeOne } from "../../merge-arrays.ts";

covers("merge/add-update");

const name = "model.layers.0.mlp.up_proj.weight";

/** Rows of numbers. */
type Grid = number[][];

const grid = (values: ArrayLike<number>, rows: number, columns: number): Grid =>
  Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => values[r * columns + c]!));
const turned = (a: Grid): Grid => (a[0] ?? []).map((_, c) => a.map((row) => row[c]!));
const times = (a: Grid, b: Grid): Grid =>
  a.map((row) => (b[0] ?? []).map((_, c) => row.reduce((sum, x, k) => sum + x * b[k]![c]!, 0)));

/** U, s, V by Jacobi's rotations, without what is rounding of the matrix or of `size`. */
function factors(a: Grid, most = Number.POSITIVE_INFINITY, size = 0) {
  const [rows, columns] = [a.length, a[0]!.length];
  const { u, s, v } = svd(a.flat(), rows, columns);
  const rank = Math.min(most, s.filter((value) => value > 1e-6 * Math.max(s[0]!, size)).length);
  const first = (side: Grid) => side.map((row) => row.slice(0, rank));
  return { u: first(grid(u, rows, s.length)), s: [...s.slice(0, rank)], v: first(grid(v, columns, s.length)) };
}

const together = ({ u, s, v }: ReturnType<typeof factors>): Grid =>
  u.map((row) => v.map((other) => s.reduce((sum, value, j) => sum + value * row[j]! * other[j]!, 0)));
const polar = (a: Grid): Grid => {
  if (a[0]!.length === 0) return a;
  const { u, s, v } = factors(a);
  return together({ u, s: s.map(() => 1), v });
};
const add = (all: readonly Grid[]): Grid =>
  all[0]!.map((row, r) => row.map((_, c) => all.reduce((t, a) => t + a[r]![c]!, 0)));

/** All vectors side by side, then the orthonormal ones nearest to them. */
function nearest(parts: ReturnType<typeof factors>[]): ReturnType<typeof factors> {
  const beside = (sides: Grid[]) => sides[0]!.map((_, r) => sides.flatMap((side) => side[r]!));
  const [u, v] = [beside(parts.map((part) => part.u)), beside(parts.map((part) => part.v))];
  return { u: polar(u), s: parts.flatMap((part) => part.s), v: polar(v) };
}

const references: Record<string, (tasks: readonly Grid[]) => Grid> = {
  iso_c(tasks) {
    const { u, s, v } = factors(add(tasks));
    const mean = s.reduce((a, b) => a + b, 0) / Math.min(u.length, v.length);
    return together({ u, s: s.map(() => mean), v });
  },
  tsv_m(tasks) {
    const share = Math.max(1, Math.floor(Math.min(tasks[0]!.length, tasks[0]![0]!.length) / tasks.length));
    const parts = tasks.map((task) => factors(task, share));
    return together(nearest(parts));
  },
  iso_cts(tasks) {
    const side = Math.min(tasks[0]!.length, tasks[0]![0]!.length);
    const { own, common } = isoRanks(side, tasks.length, 0.8);
    const sum = factors(add(tasks), common);
    const projection = times(sum.u, turned(sum.u));
    const parts = tasks.map((task) => {
      const inside = times(projection, task);
      const rest = task.map((row, r) => row.map((x, c) => x - (inside[r]?.[c] ?? 0)));
      return factors(rest, own, Math.hypot(...task.flat()));
    });
    const { u, s, v } = nearest([sum, ...parts]);
    const mean = s.reduce((a, b) => a + b, 0) / side;
    return together({ u, s: s.map(() => mean), v });
  },
};

/** (rows, columns) task matrices of a rank; rank 0 changes nothing. */
function task(rows: number, columns: number, rank: number, seed: number): Float64Array {
  const [u, v] = [randomArray(rows * rank, normal(seed)), randomArray(columns * rank, normal(seed + 50))];
  if (rank === 0) return new Float64Array(rows * columns);
  return Float64Array.from(times(grid(u, rows, rank), turned(grid(v, columns, rank))).flat(), Math.fround);
}

const CASES: [string, number, number, number[]][] = [
  ["tall", 29, 7, [7, 7, 7]],
  ["wide", 7, 29, [7, 7]],
  ["square", 16, 16, [16, 16, 16]],
  ["of low rank", 12, 20, [2, 1, 3]],
  ["with one that changes nothing", 9, 10, [9, 0, 4]],
  ["one task", 8, 11, [8]],
  ["more tasks than rank", 2, 9, [2, 2, 2, 1]],
  ["nothing changes", 5, 4, [0, 0]],
];

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** The update of a method on a base of zeros, where f32 holds the task vectors exactly. */
async function updateOf(method: MergeMethod, shape: readonly number[], models: readonly Float64Array[], tensor = name) {
  const base = new Float64Array(shape.reduce((a, b) => a * b, 1));
  return mergeOne(await sharedGpu(), method, { name: tensor, shape, base, models }, { chunkValues: 64 });
}

for (const method of [isoC, tsvM, isoCts]) {
  describe(method.name, () => {
    test.each(CASES)("is its equations: %s", async (_, rows, columns, ranks) => {
      const models = ranks.map((rank, k) => task(rows, columns, rank, 10 * k + 1));
      const wanted = references[method.name]!(models.map((model) => grid(model, rows, columns))).flat();
      const largest = Math.max(...models.map((model) => Math.max(...model.map(Math.abs))));
      expect(apart(await updateOf(method, [rows, columns], models), wanted)).toBeLessThanOrEqual(2e-5 * largest);
    });

    test("scales by lambda, and merges experts of a stack one by one", async () => {
      const models = [1, 2].map((k) => Float64Array.from([1, 2, 3].flatMap((e) => [...task(6, 9, 6, 100 * k + e)])));
      const whole = await updateOf(method, [3, 6, 9], models);
      for (const e of [0, 1, 2]) {
        const parts = models.map((model) => model.slice(54 * e, 54 * e + 54));
        expect(apart(whole.subarray(54 * e, 54 * e + 54), await updateOf(method, [6, 9], parts))).toBe(0);
      }
      const base = Float64Array.from(randomArray(162, normal(9)), Math.fround);
      const moved = models.map((model) => model.map((x, i) => Math.fround(x + base[i]!)));
      const tensor = { name, shape: [3, 6, 9], base, models: moved };
      const half = await mergeOne(await sharedGpu(), method, tensor, { values: { lambda: 0.5 } });
      const wanted = base.map((b, i) => b + 0.5 * whole[i]!);
      expect(apart(half, wanted)).toBeLessThan(2e-5 * Math.max(...wanted.map(Math.abs)));
    });

    test("averages the task vectors of tables, heads, norms and biases", async () => {
      const models = [Float64Array.of(1, 2, 3, 4, 5, 6), Float64Array.of(3, 0, -3, 0, 5, 2)];
      for (const [tensor, shape] of [
        ["model.embed_tokens.weight", [2, 3]],
        ["lm_head.weight", [3, 2]],
        ["model.layers.0.norm.weight", [6]],
        ["model.layers.0.conv1d.weight", [3, 1, 2]],
      ] as const)
        expect([...(await updateOf(method, shape, models, tensor))]).toEqual([2, 1, 0, 2, 5, 4]);
    });

    test("a value that is not finite makes the tensor so, not the others", async () => {
      const bad = task(4, 5, 4, 1);
      bad[7] = Number.NaN;
      const found = await updateOf(method, [4, 5], [task(4, 5, 4, 2), bad]);
      expect(found.every(Number.isNaN)).toBe(true);
    });
  });
}

test("iso_c: the update has equal singular values, whose sum is that of the summed task vectors", async () => {
  const models = [1, 2, 3].map((k) => task(10, 14, 10, k));
  const { s } = svd(await updateOf(isoC, [10, 14], models), 10, 14);
  for (const value of s) expect(value / s[0]!).toBeCloseTo(1, 5);
  const before = svd(add(models.map((model) => grid(model, 10, 14))).flat(), 10, 14).s;
  expect(s.reduce((a, b) => a + b) / before.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
});

test("iso_cts: the update has equal singular values", async () => {
  const models = [1, 2].map((k) => task(10, 14, 10, k));
  const { s } = svd(await updateOf(isoCts, [10, 14], models), 10, 14);
  for (const value of s) expect(value / s[0]!).toBeCloseTo(1, 4);
});

test("iso_cts is iso_c for one task, and where the sum gets every direction", async () => {
  const shape = [11, 15];
  const models = [1, 2, 3].map((k) => task(11, 15, 11, k));
  const [one, whole] = [await updateOf(isoC, shape, models.slice(0, 1)), await updateOf(isoC, shape, models)];
  expect(apart(await updateOf(isoCts, shape, models.slice(0, 1)), one)).toBeLessThan(1e-4);
  const tensor = { name, shape, base: new Float64Array(165), models };
  const all = await mergeOne(await sharedGpu(), isoCts, tensor, { values: { common_share: 1 } });
  expect(apart(all, whole)).toBeLessThan(1e-5);
});

test("iso_cts: tasks get equal shares of what the sum leaves, to the nearest number", () => {
  expect(isoRanks(10, 2, 0.8)).toEqual({ own: 1, common: 8 });
  expect(isoRanks(768, 8, 0.8)).toEqual({ own: 19, common: 616 });
  expect(isoRanks(10, 4, 0.01)).toEqual({ own: 2, common: 2 }); // 2.5 rounds to even
  expect(isoRanks(14, 4, 0)).toEqual({ own: 3, common: 2 }); // 4 x 4 directions are not there
  expect(isoRanks(3, 8, 0)).toEqual({ own: 0, common: 3 });
});

test("tsv_m: orthogonal task vectors of low rank are added up", async () => {
  const { u, v } = factors(grid(task(12, 15, 12, 4), 12, 15));
  const [first, second] = [
    [0, 1],
    [2, 3],
  ].map((columns) => {
    const pick = (side: Grid) => side.map((row) => columns.map((c) => row[c]!));
    return Float64Array.from(together({ u: pick(u), s: [3, 1], v: pick(v) }).flat(), Math.fround);
  }) as [Float64Array, Float64Array];
  const wanted = first.map((x, i) => x + second[i]!);
  expect(apart(await updateOf(tsvM, [12, 15], [first, second]), wanted)).toBeLessThan(1e-6);
});

test("tsv_m: one task comes back whole", async () => {
  const only = task(9, 6, 6, 8);
  expect(apart(await updateOf(tsvM, [9, 6], [only]), only)).toBeLessThan(1e-5);
});
