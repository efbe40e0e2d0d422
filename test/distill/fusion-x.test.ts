/** Fusion-X: the gate's shares, what weighs sources evenly, and the whole loss with its slope in float64. */
import { afterAll, describe, expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import { targetsOf } from "../../src/data/targets.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { chosenShares, method as fusion, unevenness } from "../../src/distill/methods/fusion-x.ts";
import { rewarded } from "../../src/distill/sources.ts";
import { extraParameters } from "../../src/distill/training.ts";
import { Model } from "../../src/model/model.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { beliefs, sequencesOf } from "../experiments/distill-support.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";

const gpu = await sharedGpu();
const method = fusion as never as DistillMethod;

test("shares are those above theta, or the largest alone; sums are 1", async () => {
  const given = [0.5, 0.3, 0.15, 0.05, 0.26, 0.25, 0.25, 0.24];
  const shares = async (theta: number) => {
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [2, 4], data: Float32Array.from(given) } },
      build: (rec, { x }) => chosenShares(rec, x!, theta),
    });
    return [...outputs.y!].map((value) => Math.round(1e4 * value) / 1e4);
  };
  expect(await shares(0.2)).toEqual([0.625, 0.375, 0, 0, 0.26, 0.25, 0.25, 0.24]);
  expect(await shares(0.9)).toEqual([1, 0, 0, 0, 1, 0, 0, 0]);
  expect(await shares(0)).toEqual(given);
});

test("unevenness is 0 where all sources get the same in sum, and only there", async () => {
  const of = async (values: readonly number[]) => {
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [2, 2], data: Float32Array.from(values) } },
      build: (rec, { x }) => unevenness(rec, x!),
    });
    return outputs.y![0]!;
  };
  expect(await of([1, 0, 0, 1])).toBeLessThan(1e-7);
  expect(await of([0.5, 0.5, 0.5, 0.5])).toBeLessThan(1e-7);
  expect(await of([1, 0, 1, 0])).toBeCloseTo(1, 5); // sums 2 and 0: variance 1, mean 1
  expect(await of([0.9, 0.1, 0.6, 0.4])).toBeCloseTo(0.25, 5); // 1.5 and 0.5
});

const unit = randomUnits(5);
const rows = sequencesOf([9, 14, 6].map((length) => Array.from({ length }, () => Math.floor(unit() * 50)))).map(
  (row, i) => (i === 1 ? { ...row, labels: row.ids.map((id, t) => (t < 5 ? -100 : id)) } : row),
);
const batch = collate(
  rows.map((row) => [row]),
  { buckets: "none" },
);
const config = TINY_TEXT.llama!;
const fresh = (seed: number, more = {}) =>
  Model.fresh(gpu, { ...config, ...more }, "source", { seed, freeze: () => true });
const student = await Model.fresh(gpu, config, "student", { seed: 1 });
const sources = [
  await fresh(2, { initializer_range: 0.3 }),
  await fresh(3),
  await fresh(4, { initializer_range: 0.1 }),
];
afterAll(() => {
  for (const model of [student, ...sources]) model.free();
});

async function run(count: number, fuse: string, settings = {}) {
  const values = { fuse, theta: 0.15, feedback: 0.5, ...settings };
  const sizes = { student: student.sizes, teacher: student.sizes, teachers: count };
  const extra = extraParameters(gpu, method.extra!({ ...sizes, values: values as never }), 7);
  const learns = [...student.trainable(), ...extra.values()];
  const teachers = sources.slice(0, count).map((model, k) => rewarded(liveTeacher(model, model.sizes.outputs), k));
  const loss = () => lossOf({ model: student, method, teachers, extra, settings: values }, batch, learns);
  return { learns, loss, free: () => [...extra.values()].map((parameter) => parameter.free()), extra };
}

const gelu = (x: number) => {
  // x Phi(x), by the integral of the density
  const steps = 4000;
  let area = 0;
  for (let i = 0; i < steps; i++) area += Math.exp(-((((i + 0.5) / steps) * x) ** 2) / 2) * (x / steps);
  return x * (0.5 + area / Math.sqrt(2 * Math.PI));
};

/** The loss in float64, with the shares that a batch's rows get. */
async function exact(count: number, fuse: string, extra: Awaited<ReturnType<typeof run>>["extra"]) {
  const said = await Promise.all([student, ...sources.slice(0, count)].map((model) => beliefs(model, batch)));
  const [mine, ...theirs] = said as [(typeof said)[0], ...typeof said];
  const targets = targetsOf(batch);
  const counted = [...targets.keys()].filter((i) => targets[i]! >= 0);
  const rowOf = counted.map((i) => Math.floor(i / batch.length));
  const rewards = rows.map((_, row) =>
    theirs.map(({ p, targets }) => {
      const own = [...p.keys()].filter((i) => rowOf[i] === row);
      return Math.exp(own.reduce((sum, i) => sum + Math.log(p[i]![targets[i]!]!), 0) / own.length);
    }),
  );
  const softmax = (x: readonly number[]) => {
    const e = x.map(Math.exp);
    const sum = e.reduce((a, b) => a + b);
    return e.map((v) => v / sum);
  };
  const layer = async (x: readonly number[], at: number) => {
    const [weight, bias] = [extra.get(`gate.${at}.weight`)!, extra.get(`gate.${at}.bias`)!];
    const [w, b] = [await gpu.readFloats(weight.buffer, weight.size), await gpu.readFloats(bias.buffer, bias.size)];
    return Array.from(b, (value, out) => gelu(x.reduce((sum, v, i) => sum + v * w[out * x.length + i]!, value)));
  };
  const shares: number[][] = [];
  for (const r of rewards) {
    const best = r.map((x) => (x === Math.max(...r) ? 1 : 0));
    if (fuse === "gated") {
      const a = softmax(await layer(await layer(await layer(r, 0), 1), 2));
      const kept = a.some((x) => x > 0.15) ? a.map((x) => (x > 0.15 ? x : 0)) : a;
      shares.push(kept.map((x) => x / kept.reduce((p, q) => p + q)));
    } else shares.push(fuse === "softmax" ? softmax(r) : best);
  }
  let [fused, labels] = [0, 0];
  for (const [i, row] of rowOf.entries()) {
    const q = mine.p[i]!;
    labels -= Math.log(q[mine.targets[i]!]!);
    for (const [j, { p }] of theirs.entries())
      fused -= shares[row]![j]! * p[i]!.reduce((sum, x, v) => sum + x * Math.log(q[v]!), 0);
  }
  const sums = theirs.map((_, j) => shares.reduce((sum, w) => sum + w[j]!, 0));
  const mean = sums.reduce((a, b) => a + b) / sums.length;
  const variance = sums.reduce((sum, x) => sum + (x - mean) ** 2, 0) / sums.length;
  const n = counted.length;
  return (0.1 * fused) / n + (0.9 * labels) / n + (fuse === "gated" ? (0.5 * variance) / mean ** 2 : 0);
}

describe.each([
  [3, "gated"],
  [3, "softmax"],
  [3, "best"],
  [1, "gated"],
] as const)("%d sources, %s", (count, fuse) => {
  test("the loss in float64", async () => {
    const { loss, extra, free } = await run(count, fuse);
    const { metrics } = await loss();
    expect(Math.abs(metrics.loss! / (await exact(count, fuse, extra)) - 1)).toBeLessThan(1e-5);
    free();
  });
});

test("one source is its cross-entropy beside the labels', whatever fuses", async () => {
  const found: number[] = [];
  for (const fuse of ["gated", "softmax", "best"]) {
    const { loss, free } = await run(1, fuse);
    found.push((await loss()).metrics.loss!);
    free();
  }
  expect(Math.abs(found[1]! - found[0]!)).toBeLessThan(1e-6);
  expect(Math.abs(found[2]! - found[0]!)).toBeLessThan(1e-6);
});

test("its gradient is its slope, the gate's among it", async () => {
  const { loss, learns, extra, free } = await run(3, "gated");
  const { gradients } = await loss();
  const gate = [...extra.values()].reduce((sum, { size }) => sum + size, 0);
  expect(Math.hypot(...gradients.subarray(gradients.length - gate))).toBeGreaterThan(1e-4);
  for (const only of [0, gradients.length - gate]) {
    const slopes = gradients.map((g, i) => (i >= only ? g : 0));
    const length = Math.hypot(...slopes);
    const kept: Float32Array[] = [];
    for (const { buffer, size } of learns) kept.push(await gpu.readFloats(buffer, size));
    const at = async (by: number) => {
      let start = 0;
      for (const [i, parameter] of learns.entries()) {
        const from = start;
        parameter.write(kept[i]!.map((w, j) => w + (by * slopes[from + j]!) / length));
        start += parameter.size;
      }
      return (await loss()).metrics.loss!;
    };
    const slope = ((await at(1e-2)) - (await at(-1e-2))) / 2e-2;
    await at(0);
    expect(Math.abs(slope / length - 1)).toBeLessThan(1e-2);
  }
  free();
});
