import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method } from "../../../../src/merge/methods/task-vectors/adamerging.ts";
import { method as taskArithmetic } from "../../../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { apart, deltas, family, runBytes, runMethod, testShapes } from "../../run-method.ts";

covers("merge/elect-inputs");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const WEIGHTS = [0.7, -0.3, 1.2];
const DENSITY = 0.4;

test.each(["F32", "BF16", "F16"] as const)("is task arithmetic with these weights, to the bit (%s)", async (dtype) => {
  const { base, models } = family(4099, 3, 5);
  const trial = { shape: [4099], base, models, dtype, outDtype: dtype, perModel: { weight: WEIGHTS } };
  expect(await runBytes(gpu, method, trial)).toEqual(await runBytes(gpu, taskArithmetic, trial));
});

/** Trims each task vector to its largest values, elects one sign per coordinate with equal weights, and weighs. */
function elected(base: Float32Array, models: readonly Float32Array[]): Float64Array {
  const kept = deltas(base, models).map((delta) => {
    const order = [...delta.keys()].sort((a, b) => Math.abs(delta[b]!) - Math.abs(delta[a]!) || a - b);
    const top = new Set(order.slice(0, Math.floor(DENSITY * delta.length)));
    return delta.map((value, i) => (top.has(i) ? value : 0));
  });
  return Float64Array.from(base, (value, i) => {
    const sign = kept.reduce((sum, delta) => sum + delta[i]!, 0) >= 0 ? 1 : -1;
    return kept.reduce((sum, delta, k) => sum + (delta[i]! * sign > 0 ? WEIGHTS[k]! * delta[i]! : 0), value);
  });
}

test.each([7, 1000, 4099])("plus: weighs what TIES leaves of the task vectors, of %d values", async (size) => {
  const { base, models } = family(size, 3, size);
  const perModel = { weight: WEIGHTS, density: WEIGHTS.map(() => DENSITY) };
  const trial = { shape: [size], base, models, perModel, values: { plus: true } };
  const whole = await runMethod(gpu, method, trial);
  expect(apart(whole, elected(base, models))).toBeLessThan(1e-6);
  expect(await runMethod(gpu, method, { ...trial, chunkValues: 256 })).toEqual(whole);
});

testShapes(() => gpu, method, { values: { plus: true }, perModel: { weight: 0.3, density: 0.5 } });
