import { describe, expect, test } from "bun:test";
import { gated, gatedHalves } from "../../../src/tensor/ops/activation.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("activation/gated", "activation/gated-gradient");

const gpu = await sharedGpu();

test.each([1, 3, 255, 257, 9001])("swiglu of %d values, forward and back", async (n) => {
  const errors = await checkOp(gpu, "swiglu", {
    inputs: { gate: { shape: [n], data: normals(1, n, 3) }, up: { shape: [n], data: normals(2, n) } },
    build: (rec, { gate, up }) => gated(rec, gate!, up!),
    reference: ({ gate, up }) => gate!.map((g, i) => (g / (1 + Math.exp(-g))) * up![i]!),
  });
  expect(errors.forward).toBeLessThan(1e-6);
});

const geluTanh = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

test.each([1, 3, 255, 257, 9001])("GELU gates of %d values, forward and back", async (n) => {
  await checkOp(gpu, "GELU gates", {
    inputs: { gate: { shape: [n], data: normals(1, n, 3) }, up: { shape: [n], data: normals(2, n) } },
    build: (rec, { gate, up }) => gated(rec, gate!, up!, "gelu-tanh"),
    reference: ({ gate, up }) => gate!.map((g, i) => geluTanh(g) * up![i]!),
  });
});

describe.each(["silu", "gelu-tanh"] as const)("%s of gates and ups in one matrix", (activation) => {
  const act = activation === "silu" ? (g: number) => g / (1 + Math.exp(-g)) : geluTanh;
  test.each([
    [1, 1],
    [3, 5],
    [257, 3],
    [7, 300],
  ])("%d rows of twice %d, forward and back", async (rows, w) => {
    await checkOp(gpu, "gates and ups in one matrix", {
      inputs: { x: { shape: [rows, 2 * w], data: normals(rows, rows * 2 * w, 2) } },
      build: (rec, { x }) => gatedHalves(rec, x!, activation),
      reference: ({ x }) =>
        Float64Array.from({ length: rows * w }, (_, i) => {
          const at = Math.floor(i / w) * 2 * w + (i % w);
          return act(x![at]!) * x![at + w]!;
        }),
    });
  });
});

test("swiglu of one tensor with itself adds both gradients", async () => {
  await checkOp(gpu, "swiglu", {
    inputs: { x: { shape: [5], data: normals(3, 5) } },
    build: (rec, { x }) => gated(rec, x!, rec.reshape(x!, [5])),
    reference: ({ x }) => x!.map((g) => (g / (1 + Math.exp(-g))) * g),
  });
});
