/**
 * Teachers that are mixed into one: losses and gradients against float64, limits in which the mixture is one teacher,
 * and the margin at which one teacher decides.
 */
import { describe, expect, test } from "bun:test";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { method as logitEnsemble } from "../../src/distill/methods/logit-ensemble.ts";
import { method as smoothMix } from "../../src/distill/methods/smooth-mix.ts";
import { mixedLogits } from "../../src/tensor/ops/mixture.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { runRows } from "./rows.ts";

const gpu = await sharedGpu();
const [n, v] = [5, 13];

const softmax = (x: ArrayLike<number>): number[] => {
  const most = Math.max(...Array.from(x));
  const e = Array.from(x, (z) => Math.exp(z - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((z) => z / sum);
};
const row = (x: Float32Array, i: number) => x.subarray(i * v, (i + 1) * v);
const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
const largest = (x: ArrayLike<number>) => Array.from(x).indexOf(Math.max(...Array.from(x)));

/** Loss and gradient of every row against a target distribution, at a temperature, in float64. */
function reference(student: Float32Array, targetOf: (i: number) => number[], temperature: number) {
  const losses: number[] = [];
  const gradient: number[] = [];
  for (let i = 0; i < n; i++) {
    const soft = targetOf(i).map((p) => p ** (1 / temperature));
    const total = soft.reduce((a, b) => a + b, 0);
    const p = soft.map((x) => x / total);
    const q = softmax(Array.from(row(student, i), (z) => z / temperature));
    losses.push(temperature ** 2 * p.reduce((sum, x, j) => sum + x * Math.log(x / q[j]!), 0));
    gradient.push(...q.map((x, j) => temperature * (x - p[j]!)));
  }
  return { losses, gradient };
}

const student = normals(1, n * v, 2);
const [g, h, third] = [normals(2, n * v, 2), normals(3, n * v, 2), normals(4, n * v, 2)];
const mixed = (given: Readonly<Record<string, unknown>>, teachers = [g, h]) =>
  runRows(gpu, smoothMix, { student, teachers, outputs: v, settings: given });
const averaged = (teachers: readonly Float32Array[], given: Readonly<Record<string, unknown>> = {}) =>
  runRows(gpu, logitEnsemble, { student, teachers, outputs: v, settings: given });
const alone = (teacher: Float32Array, temperature = 1) =>
  runRows(gpu, kd, { student, teachers: [teacher], outputs: v, settings: { temperature } });

/** (1 - a) softmax(s_g g) + a softmax(s_h h) of a row. */
const target = (i: number, a: number, [first, second]: readonly [number, number]): number[] => {
  const [p, q] = [softmax(row(g, i).map((z) => first * z)), softmax(row(h, i).map((z) => second * z))];
  return p.map((x, j) => (1 - a) * x + a * q[j]!);
};

describe("smooth-mix", () => {
  test.each([
    [0.85, 1, 1, 1],
    [0.5, 2, 1, 1],
    [0.2, 0.5, 3, 2],
  ])("alpha %p, sharpness %p and %p, temperature %p in float64", async (alpha, first, second, temperature) => {
    const given = { alpha, accurate_sharpness: first, robust_sharpness: second, temperature };
    const { losses, gradient } = await mixed(given);
    const expected = reference(student, (i) => target(i, alpha, [first, second]), temperature);
    expect(worst(losses, expected.losses)).toBeLessThan(2e-5);
    expect(worst(gradient, expected.gradient)).toBeLessThan(2e-5);
  });

  test("a row in plain numbers: a half and a half of (3/4, 1/4) and (1/4, 3/4) teaches a fair coin", async () => {
    const { losses, gradient } = await runRows(gpu, smoothMix, {
      student: [Math.log(3), 0],
      teachers: [
        [Math.log(3), 0],
        [0, Math.log(3)],
      ],
      outputs: 2,
      settings: { alpha: 0.5 },
    });
    expect(losses[0]).toBeCloseTo(0.5 * Math.log(0.5 / 0.75) + 0.5 * Math.log(0.5 / 0.25), 6);
    expect(worst(gradient, [0.25, -0.25])).toBeLessThan(1e-6);
  });

  test("alpha 0 and 1 are kd from the one teacher and the other, to the bit", async () => {
    for (const [alpha, teacher] of [
      [0, g],
      [1, h],
    ] as const) {
      const [found, plain] = [await mixed({ alpha, temperature: 2 }), await alone(teacher, 2)];
      expect(found.losses).toEqual(plain.losses);
      expect(found.gradient).toEqual(plain.gradient);
    }
  });

  test("probabilities are mixed, not logits", async () => {
    const found = await mixed({ alpha: 0.5 });
    const logits = await averaged([g, h]);
    expect(worst(found.gradient, logits.gradient)).toBeGreaterThan(0.05);
    const probabilities = await averaged([g, h], { average: "probabilities" });
    expect(worst(found.losses, probabilities.losses)).toBeLessThan(1e-5);
  });

  test("teachers that are sure of different outputs give a finite loss", async () => {
    const loud = (seed: number) => normals(seed, n * v, 200);
    const { losses, gradient } = await mixed({ alpha: 0.5 }, [loud(7), loud(8)]);
    for (const x of [...losses, ...gradient]) expect(Number.isFinite(x)).toBe(true);
  });

  test("a margin of h above (1 - a) / a decides, whatever g says", async () => {
    const alpha = 0.7;
    const rows = 400;
    const robust = normals(11, rows * 3, 2);
    let [certified, open] = [0, 0];
    // g is as sure as can be of the output that h gives second.
    const against = new Float32Array(rows * 3);
    for (let i = 0; i < rows; i++) {
      const p = softmax(robust.subarray(3 * i, 3 * i + 3));
      p[largest(p)] = 0;
      against[3 * i + largest(p)] = 60;
    }
    const { outputs } = await runOp(gpu, {
      inputs: { g: { shape: [rows, 3], data: against }, h: { shape: [rows, 3], data: robust } },
      build: (rec, x) =>
        mixedLogits(rec, "probabilities", [
          { logits: x.g!, weight: 1 - alpha },
          { logits: x.h!, weight: alpha },
        ]),
    });
    for (let i = 0; i < rows; i++) {
      const p = softmax(robust.subarray(3 * i, 3 * i + 3));
      const [first, second] = [...p].sort((a, b) => b - a) as [number, number];
      const stays = largest(outputs.y!.subarray(3 * i, 3 * i + 3)) === largest(p);
      if (Math.abs(first - second - (1 - alpha) / alpha) < 1e-4) continue;
      expect(stays).toBe(first - second > (1 - alpha) / alpha);
      if (stays) certified++;
      else open++;
    }
    expect(Math.min(certified, open)).toBeGreaterThan(50);
  });
});

describe("logit-ensemble", () => {
  test("one teacher is kd from it, to the bit", async () => {
    for (const average of ["logits", "probabilities"]) {
      const [found, plain] = [await averaged([g], { average, temperature: 3 }), await alone(g, 3)];
      expect(found.losses).toEqual(plain.losses);
      expect(found.gradient).toEqual(plain.gradient);
    }
  });

  test("three teachers are kd from the mean of their logits, in any order", async () => {
    const middle = g.map((z, i) => (z + h[i]! + third[i]!) / 3);
    const plain = await alone(middle);
    for (const teachers of [
      [g, h, third],
      [third, g, h],
    ]) {
      const found = await averaged(teachers);
      expect(worst(found.losses, plain.losses)).toBeLessThan(1e-5);
      expect(worst(found.gradient, plain.gradient)).toBeLessThan(1e-5);
    }
  });

  test.each(["logits", "probabilities"])("the mean of three teachers' %s in float64", async (average) => {
    const { losses, gradient } = await averaged([g, h, third], { average, temperature: 2 });
    const mean = (i: number) =>
      average === "logits"
        ? softmax(Array.from(row(g, i), (z, j) => (z + row(h, i)[j]! + row(third, i)[j]!) / 3))
        : [g, h, third]
            .map((z) => softmax(row(z, i)))
            .reduce((a, b) => a.map((x, j) => x + b[j]! / 3), Array(v).fill(0));
    const expected = reference(student, mean, 2);
    expect(worst(losses, expected.losses)).toBeLessThan(2e-5);
    expect(worst(gradient, expected.gradient)).toBeLessThan(2e-5);
  });

  test("twice the same teacher is that teacher", async () => {
    for (const average of ["logits", "probabilities"]) {
      const [found, plain] = [await averaged([g, g], { average }), await alone(g)];
      expect(worst(found.losses, plain.losses)).toBeLessThan(1e-5);
    }
  });
});
