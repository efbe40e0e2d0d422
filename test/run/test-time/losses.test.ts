/** Losses of rows without labels against float64, with gradients by differences. */
import { describe, expect, test } from "bun:test";
import { entropyOf, softCrossEntropy, symmetricCrossEntropy, viewContrast } from "../../../src/run/test-time/losses.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const [N, K] = [7, 5];
const SHAPE = [N, K];

const rowsOf = (x: Float64Array) => Array.from({ length: N }, (_, i) => x.subarray(i * K, (i + 1) * K));
const softmax = (z: Float64Array) => {
  const raised = z.map((x) => Math.exp(x));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((x) => x / sum);
};
/** -sum q log p */
const cross = (q: Float64Array, p: Float64Array) => -q.reduce((sum, x, i) => sum + x * Math.log(p[i]!), 0);

describe("losses at test time", () => {
  test("entropy", async () => {
    await checkOp(gpu, "entropy", {
      inputs: { x: { shape: SHAPE, data: normals(1, N * K, 2) } },
      build: (rec, { x }) => entropyOf(rec, x!),
      reference: ({ x }) => Float64Array.from(rowsOf(x!).map(softmax), (p) => cross(p, p)),
      forward: 1e-5,
      backward: 5e-5,
    });
  });

  for (const [name, loss, of] of [
    ["cross-entropy against a teacher", softCrossEntropy, (q: Float64Array, p: Float64Array) => cross(q, p)],
    [
      "symmetric cross-entropy",
      symmetricCrossEntropy,
      (q: Float64Array, p: Float64Array) => (cross(q, p) + cross(p, q)) / 2,
    ],
  ] as const)
    test(name, async () => {
      await checkOp(gpu, name, {
        inputs: {
          x: { shape: SHAPE, data: normals(2, N * K, 2) },
          teacher: { shape: SHAPE, data: normals(3, N * K, 2), grad: false },
        },
        build: (rec, { x, teacher }) => loss(rec, teacher!, x!),
        reference: ({ x, teacher }) => {
          const q = rowsOf(teacher!).map(softmax);
          return Float64Array.from(rowsOf(x!).map(softmax), (p, i) => of(q[i]!, p));
        },
        forward: 1e-5,
        backward: 5e-5,
      });
    });

  test("the contrast of three views of each row", async () => {
    const T = 0.5;
    await checkOp(gpu, "view contrast", {
      inputs: {
        near: { shape: SHAPE, data: normals(6, N * K), grad: false },
        own: { shape: SHAPE, data: normals(7, N * K) },
        other: { shape: SHAPE, data: normals(8, N * K) },
      },
      build: (rec, { near, own, other }) => viewContrast(rec, [near!, own!, other!], T),
      reference: ({ near, own, other }) => {
        const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
        const all = [near, own, other].flatMap((x) => rowsOf(x!)).map((x) => x.map((v) => v / Math.sqrt(dot(x, x))));
        return Float64Array.from(all, (v, a) => {
          const raised = all.map((w, b) => (a === b ? 0 : Math.exp(dot(v, w) / T)));
          const sum = raised.reduce((x, y) => x + y, 0);
          const positives = raised.filter((_, b) => b !== a && b % N === a % N);
          return -positives.reduce((total, x) => total + Math.log(x / sum), 0) / positives.length;
        });
      },
      forward: 1e-5,
      backward: 1e-4,
    });
  });

  test("no gradient goes to the teacher", async () => {
    const { gradients } = await runOp(gpu, {
      inputs: {
        x: { shape: SHAPE, data: normals(4, N * K), grad: true },
        teacher: { shape: SHAPE, data: normals(5, N * K), grad: true },
      },
      build: (rec, { x, teacher }) => symmetricCrossEntropy(rec, teacher!, x!),
      seeds: { y: new Float32Array(N).fill(1) },
    });
    expect(Object.keys(gradients)).toEqual(["x"]);
  });
});
