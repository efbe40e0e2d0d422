import { expect, test } from "bun:test";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { linear } from "../../../src/tensor/ops/linear.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const SHAPES = [
  [1, 1, 1],
  [3, 257, 5],
  [17, 64, 32],
  [65, 3, 255],
] as const; // rows, in, out

test.each(SHAPES)("%d rows of %d to %d with bias, residual and scale, forward and back", async (n, k, m) => {
  await checkOp(gpu, "linear", {
    inputs: {
      x: { shape: [n, k], data: normals(1, n * k) },
      w: { shape: [m, k], data: normals(2, m * k) },
      bias: { shape: [m], data: normals(3, m) },
      add: { shape: [n, m], data: normals(4, n * m) },
    },
    build: (rec, { x, w, bias, add }) => linear(rec, x!, w!, { bias: bias!, add: add!, scale: 0.5 }),
    reference: ({ x, w, bias, add }) =>
      Float64Array.from({ length: n * m }, (_, at) => {
        const [i, j] = [Math.floor(at / m), at % m];
        let sum = 0;
        for (let c = 0; c < k; c++) sum += x![i * k + c]! * w![j * k + c]!;
        return 0.5 * sum + bias![j]! + add![at]!;
      }),
  });
});

test.each(SHAPES)("%d rows of %d to %d with a weight stored (in, out)", async (n, k, m) => {
  await checkOp(gpu, "linear, (in, out)", {
    inputs: { x: { shape: [n, k], data: normals(1, n * k) }, w: { shape: [k, m], data: normals(2, m * k) } },
    build: (rec, { x, w }) => linear(rec, x!, w!, { transposed: true }),
    reference: ({ x, w }) =>
      Float64Array.from({ length: n * m }, (_, at) => {
        const [i, j] = [Math.floor(at / m), at % m];
        let sum = 0;
        for (let c = 0; c < k; c++) sum += x![i * k + c]! * w![c * m + j]!;
        return sum;
      }),
  });
});

test("a weight of bf16 is read as it is, forward and back", async () => {
  const w = normals(5, 6 * 10);
  const packed = encodeFloats(w, "BF16");
  const exact = decodeFloats(packed, "BF16");
  const x = normals(6, 3 * 10);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      x: { shape: [3, 10], data: x, grad: true },
      w: { shape: [6, 10], data: new Uint16Array(packed.slice().buffer), dtype: "bf16" },
    },
    build: (rec, { x, w }) => linear(rec, x!, w!),
    seeds: { y: new Float32Array(18).fill(1) },
  });
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 6; j++) {
      let sum = 0;
      for (let c = 0; c < 10; c++) sum += x[i * 10 + c]! * exact[j * 10 + c]!;
      expect(outputs.y![i * 6 + j]).toBeCloseTo(sum, 5);
    }
    for (let c = 0; c < 10; c++) {
      let sum = 0;
      for (let j = 0; j < 6; j++) sum += exact[j * 10 + c]!;
      expect(gradients.x![i * 10 + c]).toBeCloseTo(sum, 5);
    }
  }
});

test("shapes that do not fit are refused", () => {
  const inputs = { x: { shape: [2, 3], data: new Float32Array(6) }, w: { shape: [4, 5], data: new Float32Array(20) } };
  expect(runOp(gpu, { inputs, build: (rec, { x, w }) => linear(rec, x!, w!) })).rejects.toThrow(
    "w (4, 5) does not apply to x (2, 3)",
  );
});
