/** Layers of experts as gpt-oss has them: matrices stored (in, out), biases, a clamped gate. */
import { test } from "bun:test";
import { clampedGate } from "../../../src/tensor/ops/activation.ts";
import { expertBias, groupedLinear } from "../../../src/tensor/ops/moe.ts";
import { route } from "../../../src/tensor/ops/router.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("activation/clamped-gate", "activation/clamped-gate-gradient", "moe/expert-bias", "moe/expert-bias-gradient");

const gpu = await sharedGpu();
const [N, E, K] = [13, 5, 2];
/** Expert 3 is never chosen. */
const data = normals(1, N * E, 1.5).map((x, i) => (i % E === 3 ? x - 30 : x));
const logits = { shape: [N, E], data, grad: false };

/** The expert of every row, in their order. */
const expertsOfRows = Array.from({ length: N }, (_, row) =>
  Array.from({ length: E }, (_, e) => e)
    .sort((a, b) => data[row * E + b]! - data[row * E + a]! || a - b)
    .slice(0, K),
)
  .flat()
  .sort((a, b) => a - b);

test.each([
  [4, 8],
  [7, 5],
])("matrices stored (in, out), %d to %d", async (into, out) => {
  const x = { shape: [N * K, into], data: normals(2, N * K * into) };
  const w = { shape: [E, into, out], data: normals(3, E * into * out) };
  await checkOp(gpu, "grouped linear, transposed", {
    inputs: { logits, x, w },
    build: (rec, { logits, x, w }) =>
      groupedLinear(rec, x!, w!, route(rec, logits!, { k: K, normalize: true }).plan, { transposed: true }),
    reference: ({ x, w }) =>
      Float64Array.from({ length: N * K * out }, (_, at) => {
        const [row, j] = [Math.floor(at / out), at % out];
        let sum = 0;
        for (let i = 0; i < into; i++) sum += x![row * into + i]! * w![(expertsOfRows[row]! * into + i) * out + j]!;
        return sum;
      }),
  });
});

test("biases of experts", async () => {
  const c = 3;
  await checkOp(gpu, "expert bias", {
    inputs: {
      logits,
      x: { shape: [N * K, c], data: normals(4, N * K * c) },
      bias: { shape: [E, c], data: normals(5, E * c) },
    },
    build: (rec, { logits, x, bias }) =>
      expertBias(rec, x!, bias!, route(rec, logits!, { k: K, normalize: true }).plan),
    reference: ({ x, bias }) =>
      x!.map((value, at) => value + bias![expertsOfRows[Math.floor(at / c)]! * c + (at % c)]!),
  });
});

test("a clamped gate: within its limits, and beyond them without a gradient", async () => {
  const [rows, w, limit] = [9, 5, 1.3];
  await checkOp(gpu, "clamped gate", {
    inputs: { x: { shape: [rows, 2 * w], data: normals(6, rows * 2 * w) } },
    build: (rec, { x }) => clampedGate(rec, x!, limit),
    reference: ({ x }) =>
      Float64Array.from({ length: rows * w }, (_, at) => {
        const gate = Math.min(x![2 * at]!, limit);
        const up = Math.max(-limit, Math.min(limit, x![2 * at + 1]!));
        return ((up + 1) * gate) / (1 + Math.exp(-1.702 * gate));
      }),
  });
});
