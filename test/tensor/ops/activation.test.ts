import { expect, test } from "bun:test";
import { swiglu } from "../../../src/tensor/ops/activation.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("activation/swiglu", "activation/swiglu-gradient");

const gpu = await sharedGpu();

test.each([1, 3, 255, 257, 9001])("swiglu of %d values, forward and back", async (n) => {
  const errors = await checkOp(gpu, "swiglu", {
    inputs: { gate: { shape: [n], data: normals(1, n, 3) }, up: { shape: [n], data: normals(2, n) } },
    build: (rec, { gate, up }) => swiglu(rec, gate!, up!),
    reference: ({ gate, up }) => gate!.map((g, i) => (g / (1 + Math.exp(-g))) * up![i]!),
  });
  expect(errors.forward).toBeLessThan(1e-6);
});

test("swiglu of one tensor with itself adds both gradients", async () => {
  await checkOp(gpu, "swiglu", {
    inputs: { x: { shape: [5], data: normals(3, 5) } },
    build: (rec, { x }) => swiglu(rec, x!, rec.reshape(x!, [5])),
    reference: ({ x }) => x!.map((g) => (g / (1 + Math.exp(-g))) * g),
  });
});
