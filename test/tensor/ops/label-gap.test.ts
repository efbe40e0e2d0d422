import { expect, test } from "bun:test";
import { labelGap, softplus } from "../../../src/tensor/ops/label-gap.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("cross-entropy/label-gap", "cross-entropy/label-gap-gradient");

const gpu = await sharedGpu();

function reference(x: Float64Array, targets: Int32Array, v: number): Float64Array {
  return Float64Array.from(targets, (target, row) => {
    if (target < 0) return -80;
    const others = Array.from(x.subarray(row * v, (row + 1) * v)).filter((_, k) => k !== target);
    const most = Math.max(...others);
    return most + Math.log(others.reduce((sum, z) => sum + Math.exp(z - most), 0)) - x[row * v + target]!;
  });
}

test.each([
  [1, 2],
  [3, 3],
  [5, 257],
  [2, 2100],
])("%d rows of %d logits", async (n, v) => {
  const targets = Int32Array.from({ length: n }, (_, i) => (i === 1 ? -100 : (i * 7 + 1) % v));
  for (const profile of [undefined, hardware])
    await checkOp(gpu, "label gap", {
      inputs: {
        logits: { shape: [n, v], data: normals(n, n * v, 3) },
        targets: { shape: [n], data: targets, dtype: "i32" },
      },
      build: (rec, { logits, targets }) => labelGap(rec, logits!, targets!),
      reference: ({ logits }) => reference(logits!, targets, v),
      ...(profile ? { profile } : {}),
    });
});

test("what is nearly certain keeps its likelihood and its slope", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      logits: { shape: [2, 3], data: Float32Array.of(60, 20, 19, -50, 50, 0), grad: true },
      targets: { shape: [2], data: Int32Array.of(0, 0), dtype: "i32" },
    },
    build: (rec, { logits, targets }) => softplus(rec, labelGap(rec, logits!, targets!)),
    seeds: { y: Float32Array.of(1, 1) },
  });
  const small = Math.exp(-40) + Math.exp(-41);
  expect(outputs.y![0]! / small).toBeCloseTo(1, 5);
  expect(gradients.logits![0]! / small).toBeCloseTo(-1, 5);
  expect(outputs.y![1]).toBeCloseTo(100, 4);
  expect(Array.from(gradients.logits!.slice(3))).toEqual([-1, 1, expect.closeTo(0, 12)]);
});
