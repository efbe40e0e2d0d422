/** WUDI against its objective and Adam in f64 loops, by the gradient as it is defined. */
import { expect, test } from "bun:test";
import { method as wudi } from "../../../../src/merge/methods/task-vectors/wudi.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { mergeOne } from "../../merge-arrays.ts";

covers("merge/adam");

const name = "model.layers.0.mlp.up_proj.weight";

const tasks = (size: number, count: number, seed = 0, scale = 0.5): Float64Array[] =>
  Array.from({ length: count }, (_, k) => randomArray(size, normal(seed + k + 3), scale).map(Math.fround));

/** sum_i |(M - tau_i) tau_i^T|^2 / |tau_i|^2 and its gradient, by the definition. */
function objective(m: Float64Array, tau: readonly Float64Array[], rows: number, columns: number) {
  const gradient = new Float64Array(m.length);
  let loss = 0;
  for (const own of tau) {
    const square = own.reduce((sum, x) => sum + x * x, 0);
    if (square === 0) continue;
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < rows; o++) {
        let dot = 0;
        for (let c = 0; c < columns; c++) {
          dot += (m[r * columns + c]! - own[r * columns + c]!) * own[o * columns + c]!;
        }
        loss += dot ** 2 / square;
        for (let c = 0; c < columns; c++) gradient[r * columns + c]! += (2 * dot * own[o * columns + c]!) / square;
      }
    }
  }
  return { loss, gradient };
}

function reference(tau: readonly Float64Array[], rows: number, columns: number, steps: number, lr: number) {
  const m = Float64Array.from({ length: rows * columns }, (_, i) => tau.reduce((sum, own) => sum + own[i]!, 0));
  const [mean, square] = [new Float64Array(m.length), new Float64Array(m.length)];
  const before = objective(m, tau, rows, columns).loss;
  for (let t = 1; t <= steps; t++) {
    const { gradient } = objective(m, tau, rows, columns);
    for (const [i, g] of gradient.entries()) {
      mean[i] = 0.9 * mean[i]! + 0.1 * g;
      square[i] = 0.999 * square[i]! + 0.001 * g * g;
      m[i]! -= (lr * mean[i]!) / (1 - 0.9 ** t) / (Math.sqrt(square[i]! / (1 - 0.999 ** t)) + 1e-8);
    }
  }
  return { m, before, after: objective(m, tau, rows, columns).loss };
}

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

const updateOf = async (
  shape: readonly number[],
  models: readonly Float64Array[],
  values: Record<string, number> = {},
  tensor = name,
) => {
  const base = new Float64Array(models[0]!.length);
  return mergeOne(await sharedGpu(), wudi, { name: tensor, shape, base, models }, { values, chunkValues: 64 });
};

test.each([
  ["tall", 13, 6, 3],
  ["wide", 5, 18, 2],
  ["square", 8, 8, 4],
  ["odd", 3, 7, 2],
])("is Adam on the objective: %s", async (_, rows, columns, count) => {
  const tau = tasks(rows * columns, count, rows);
  for (const [steps, lr] of [
    [0, 1e-5],
    [1, 1e-2],
    [40, 1e-2],
    [70, 1e-3],
  ] as const) {
    const { m, before, after } = reference(tau, rows, columns, steps, lr);
    const found = await updateOf([rows, columns], tau, { steps, lr });
    expect(apart(found, m)).toBeLessThan(1e-4);
    if (steps > 1) {
      expect(after).toBeLessThan(before);
      expect(objective(Float64Array.from(found), tau, rows, columns).loss).toBeCloseTo(after, 2);
    }
  }
});

test("a model that changes nothing does not count", async () => {
  const tau = [...tasks(60, 2), new Float64Array(60)];
  const found = await updateOf([6, 10], tau, { steps: 30, lr: 1e-2 });
  expect(apart(found, await updateOf([6, 10], tau.slice(0, 2), { steps: 30, lr: 1e-2 }))).toBeLessThan(1e-5);
});

test("one model comes back, and tasks that share no input are added up", async () => {
  const [one] = tasks(60, 1);
  expect([...(await updateOf([6, 10], [one!]))]).toEqual([...one!]);
  const [left, right] = tasks(60, 2, 4).map((tau, k) => tau.map((x, i) => (i % 2 === k ? x : 0)));
  const sum = left!.map((x, i) => x + right![i]!);
  expect([...(await updateOf([6, 10], [left!, right!], { lr: 0.1 }))]).toEqual([...sum]);
});

test("experts of a stack are merged one by one, and lambda scales the update", async () => {
  const values = { steps: 20, lr: 1e-2 };
  const tau = tasks(3 * 54, 2, 7);
  const whole = await updateOf([3, 6, 9], tau, values);
  for (const e of [0, 1, 2]) {
    const part = (x: Float64Array) => x.slice(54 * e, 54 * e + 54);
    expect(apart(part(Float64Array.from(whole)), await updateOf([6, 9], tau.map(part), values))).toBe(0);
  }
  const half = await updateOf([3, 6, 9], tau, { ...values, lambda: 0.5 });
  expect(
    apart(
      half,
      whole.map((x) => x / 2),
    ),
  ).toBe(0);
});

test("tables, heads, norms and biases get the mean task vector", async () => {
  const models = [Float64Array.of(1, 2, 3, 4, 5, 6), Float64Array.of(3, 0, -3, 0, 5, 2)];
  for (const [tensor, shape] of [
    ["model.embed_tokens.weight", [2, 3]],
    ["lm_head.weight", [3, 2]],
    ["model.layers.0.norm.weight", [6]],
  ] as const)
    expect([...(await updateOf(shape, models, {}, tensor))]).toEqual([2, 1, 0, 2, 5, 4]);
});

test("says what it holds of a tensor", () => {
  const one = { name, shape: [64, 128], count: 3 };
  expect(wudi.holds!(one)).toEqual({ gpu: 4 * (11 * 64 * 128 + 128 ** 2 + 64 ** 2) });
  expect(wudi.holds!({ ...one, count: 1 })).toEqual({ gpu: 0 });
  expect(wudi.holds!({ ...one, name: "lm_head.weight" })).toEqual({ gpu: 0 });
});
