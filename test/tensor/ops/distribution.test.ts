import { describe, expect, test } from "bun:test";
import {
  drawOutputs,
  headGap,
  rowEntropy,
  swapTop,
  trainedEntropy,
  withoutLabel,
} from "../../../src/tensor/ops/distribution.ts";
import { divergence } from "../../../src/tensor/ops/divergence.ts";
import { add, addScalar, mul, neg, scale } from "../../../src/tensor/ops/elementwise.ts";
import { rowMax } from "../../../src/tensor/ops/reduce.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers(
  "distribution/draw-outputs",
  "distribution/head-gap",
  "distribution/row-entropy",
  "distribution/row-entropy-gradient",
  "distribution/swap-top",
  "distribution/without-label",
  "reduce/row-maxima",
);

const gpu = await sharedGpu();
const SHAPES = [
  [1, 1],
  [3, 3],
  [2, 255],
  [3, 257],
] as const;

function softmax(x: Float64Array, temperature = 1): Float64Array {
  const most = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const e = x.map((v) => Math.exp((v - most) / temperature));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}
const rowsOf = (x: Float64Array, n: number) =>
  Array.from({ length: n }, (_, i) => x.subarray((i * x.length) / n, ((i + 1) * x.length) / n));

describe.each([undefined, hardware])("profile %#", (profile) => {
  const chosen = profile ? { profile } : {};

  test.each(SHAPES)("entropy of %d rows of %d", async (n, v) => {
    const x = normals(1, n * v, 3);
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [n, v], data: x } },
      build: (rec, { x }) => rowEntropy(rec, x!, 2),
      ...chosen,
    });
    for (const [row, z] of rowsOf(Float64Array.from(x), n).entries()) {
      const expected = -softmax(z, 2).reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
      expect(outputs.y![row]).toBeCloseTo(expected, 5);
    }
  });

  test.each(SHAPES)("all outputs but the label, %d rows of %d", async (n, v) => {
    const x = normals(3, n * v);
    const targets = Int32Array.from({ length: n }, (_, row) => (row === 1 ? -100 : (7 * row + v - 1) % v));
    const dy = normals(4, n * v);
    const { outputs, gradients } = await runOp(gpu, {
      inputs: { x: { shape: [n, v], data: x, grad: true }, targets: { shape: [n], data: targets, dtype: "i32" } },
      // The gradient is added to another one: that of x itself.
      build: (rec, { x, targets }) => add(rec, withoutLabel(rec, x!, targets!), scale(rec, x!, 2)),
      seeds: { y: dy },
      ...chosen,
    });
    for (let i = 0; i < n * v; i++) {
      const isLabel = targets[Math.floor(i / v)] === i % v;
      if (isLabel) expect(outputs.y![i]).toBeLessThan(-9e29);
      else expect(outputs.y![i]).toBeCloseTo(3 * x[i]!, 5);
      expect(gradients.x![i]).toBeCloseTo((isLabel ? 2 : 3) * dy[i]!, 5);
    }
  });

  test.each(SHAPES)("entropy of %d rows of %d with its gradient", async (n, v) => {
    await checkOp(gpu, "trainedEntropy", {
      inputs: { x: { shape: [n, v], data: normals(7, n * v, 2) } },
      build: (rec, { x }) => trainedEntropy(rec, x!, 1.5),
      reference: ({ x }) =>
        Float64Array.from(rowsOf(x!, n), (z) => -softmax(z, 1.5).reduce((sum, p) => sum + p * Math.log(p), 0)),
      forward: 1e-5,
      backward: 1e-4,
      ...chosen,
    });
  });

  test("a row that is certain has no entropy, and no gradient", async () => {
    const x = Float32Array.of(200, 0, -50, 3, 1, Number.NEGATIVE_INFINITY);
    const { outputs, gradients } = await runOp(gpu, {
      inputs: { x: { shape: [2, 3], data: x, grad: true } },
      build: (rec, { x }) => trainedEntropy(rec, x!),
      seeds: { y: Float32Array.of(1, 1) },
      ...chosen,
    });
    expect(outputs.y![0]).toBe(0);
    expect([...gradients.x!.subarray(0, 3)].every((g) => Math.abs(g) === 0)).toBe(true);
    // Of two outputs: p = sigmoid(2), and the third has none.
    const p = 1 / (1 + Math.exp(-2));
    expect(gradients.x![3]).toBeCloseTo(-2 * p * (1 - p), 5);
    expect(gradients.x![4]).toBeCloseTo(2 * p * (1 - p), 5);
    expect(Math.abs(gradients.x![5]!)).toBe(0);
  });

  test.each(SHAPES)("share of the head of %d rows of %d", async (n, v) => {
    const [s, t] = [normals(2, n * v, 2), normals(3, n * v, 2)];
    for (const mu of [0.2, 0.5, 0.9]) {
      const { outputs } = await runOp(gpu, {
        inputs: { s: { shape: [n, v], data: s }, t: { shape: [n, v], data: t } },
        build: (rec, { s, t }) => headGap(rec, s!, t!, mu),
        ...chosen,
      });
      const [students, teachers] = [rowsOf(Float64Array.from(s), n), rowsOf(Float64Array.from(t), n)];
      for (let row = 0; row < n; row++) {
        const [p, q] = [softmax(teachers[row]!), softmax(students[row]!)];
        const order = [...p.keys()].sort((a, b) => p[b]! - p[a]!);
        let [running, head, all] = [0, 0, 0];
        for (const [rank, id] of order.entries()) {
          running += p[id]!;
          const gap = Math.abs(p[id]! - q[id]!);
          if (rank === 0 || running <= mu) head += gap;
          all += gap;
        }
        expect(outputs.y![row]).toBeCloseTo(v === 1 ? 0.5 : head / all, 4);
      }
    }
  });

  test.each(SHAPES)("the label first, in %d rows of %d", async (n, v) => {
    const x = normals(4, n * v, 2);
    const labels = Int32Array.from({ length: n }, (_, i) => (i === 1 ? -100 : (7 * i) % v));
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [n, v], data: x }, l: { shape: [n], data: labels, dtype: "i32" } },
      build: (rec, { x, l }) => swapTop(rec, x!, l!),
      ...chosen,
    });
    for (const [row, label] of labels.entries()) {
      const z = [...x.subarray(row * v, (row + 1) * v)];
      const y = [...outputs.y!.subarray(row * v, (row + 1) * v)];
      if (label < 0) expect(y).toEqual(z);
      else {
        expect(y.indexOf(Math.max(...y))).toBe(label);
        expect(y.toSorted()).toEqual(z.toSorted());
        expect(y.filter((value, i) => value !== z[i]).length).toBeLessThanOrEqual(2);
      }
    }
  });

  test.each([...SHAPES, [2, 2049] as const])("draws from %d rows of %d", async (n, v) => {
    const x = normals(6, n * v, 2);
    for (const u of [0, 0.1, 0.5, 0.77, 1 - 2 ** -24]) {
      const { outputs } = await runOp(gpu, {
        inputs: { x: { shape: [n, v], data: x }, u: { shape: [n], data: new Float32Array(n).fill(u) } },
        build: (rec, { x, u }) => drawOutputs(rec, x!, u!),
        ...chosen,
      });
      const draws = new Int32Array(outputs.y!.buffer);
      for (const [row, z] of rowsOf(Float64Array.from(x), n).entries()) {
        const p = softmax(z);
        const before = p.subarray(0, draws[row]!).reduce((sum, value) => sum + value, 0);
        expect(before).toBeLessThan(u + 1e-5);
        expect(before + p[draws[row]!]!).toBeGreaterThan(u - 1e-5);
      }
    }
  });

  test("draws no output that has no probability", async () => {
    const x = Float32Array.of(Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY);
    for (const u of [0, 0.2, 0.5, 1 - 2 ** -24]) {
      const { outputs } = await runOp(gpu, {
        inputs: { x: { shape: [1, 5], data: x }, u: { shape: [1], data: Float32Array.of(u) } },
        build: (rec, { x, u }) => drawOutputs(rec, x!, u!),
        ...chosen,
      });
      expect(new Int32Array(outputs.y!.buffer)[0]).toBe(u < 1 / (1 + Math.E) ? 1 : 3);
    }
  });

  test.each(SHAPES)("maxima of %d rows of %d", async (n, v) => {
    await checkOp(gpu, "rowMax", {
      inputs: { x: { shape: [n, v], data: normals(5, n * v, 1) } },
      build: (rec, { x }) => rowMax(rec, x!),
      reference: ({ x }) => Float64Array.from(rowsOf(x!, n), (z) => z.reduce((a, b) => Math.max(a, b))),
      step: 1e-5,
      ...chosen,
    });
  });
});

test("adaptive KL has its known value", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: {
      s: { shape: [1, 4], data: Float32Array.of(1.5, 0.2, 0.9, -0.4), grad: true },
      t: { shape: [1, 4], data: Float32Array.of(1.2, 1, 0.8, -1) },
      l: { shape: [1], data: Int32Array.of(0), dtype: "i32" },
    },
    build: (rec, { s, t, l }) => {
      const w = headGap(rec, s!, t!, 0.5);
      const forward = mul(rec, w, divergence(rec, s!, t!, l!, { kind: "forward-kl" }));
      const rest = addScalar(rec, neg(rec, w), 1);
      const y = add(rec, forward, mul(rec, rest, divergence(rec, s!, t!, l!, { kind: "reverse-kl" })));
      return { y, w };
    },
  });
  expect(outputs.w![0]).toBeCloseTo(0.347442, 5);
  expect(outputs.y![0]).toBeCloseTo(0.097592, 5);
});

test("the cross-entropy against an interpolated target has its known value", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      s: { shape: [1, 4], data: Float32Array.of(0.5, 0.2, 0.1, -0.3), grad: true },
      t: { shape: [1, 4], data: Float32Array.of(2, 1, 0, -1) },
      l: { shape: [1], data: Int32Array.of(0), dtype: "i32" },
    },
    build: (rec, { s, t, l }) =>
      divergence(rec, s!, t!, l!, { kind: "interpolated-target", a: 0.4, crossEntropy: true }),
    seeds: { y: Float32Array.of(1) },
  });
  expect(outputs.y![0]).toBeCloseTo(1.269323, 5);
  for (const [i, g] of [-0.126659, -0.007668, 0.066006, 0.068321].entries()) expect(gradients.s![i]).toBeCloseTo(g, 5);
});
