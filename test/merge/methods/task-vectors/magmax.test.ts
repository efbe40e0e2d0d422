import { expect, test } from "bun:test";
import { method as magmax } from "../../../../src/merge/methods/task-vectors/magmax.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { mergeOne } from "../../merge-arrays.ts";

covers("merge/magmax");

const array = (size: number, seed: number) => randomArray(size, normal(seed)).map(Math.fround);

/** The largest change of every value, in f64; of equal ones the last. */
function reference(base: Float64Array, models: readonly Float64Array[], lambda: number): Float64Array {
  return base.map((b, i) => {
    let most = 0;
    for (const x of models) if (Math.abs(x[i]! - b) >= Math.abs(most)) most = x[i]! - b;
    return b + lambda * most;
  });
}

test("adds lambda times the largest change of every value", async () => {
  const gpu = await sharedGpu();
  for (const [shape, k] of [
    [[7, 13], 3],
    [[1021], 2],
    [[2, 3, 5], 5],
    [[1], 1],
  ] as const) {
    const size = shape.reduce((a: number, b: number) => a * b, 1);
    const base = array(size, 1);
    const models = Array.from({ length: k }, (_, r) => array(size, r + 2));
    for (const lambda of [0.5, 1, -0.3]) {
      const found = await mergeOne(gpu, magmax, { shape, base, models }, { values: { lambda }, chunkValues: 64 });
      const wanted = reference(base, models, lambda);
      expectWithin(found, wanted, (i) => 1e-6 * Math.max(1, Math.abs(wanted[i]!)));
    }
  }
});

test("every value comes from one model, and a model that changes nothing is never asked", async () => {
  const [base, models] = [new Float64Array(99), [array(99, 3), array(99, 4), new Float64Array(99)]];
  const found = await mergeOne(await sharedGpu(), magmax, { shape: [9, 11], base, models }, { values: { lambda: 1 } });
  for (const [i, x] of found.entries()) {
    expect([models[0]![i]!, models[1]![i]!]).toContain(x);
    expect(Math.abs(x)).toBe(Math.max(...models.map((model) => Math.abs(model[i]!))));
  }
});

test("of opposite changes of one size the later model's counts, and half of it by default", async () => {
  const models = [
    [2, -3, 1],
    [-2, 3, 0.5],
  ];
  const found = await mergeOne(await sharedGpu(), magmax, { shape: [3], base: [0, 0, 0], models });
  expect([...found]).toEqual([-1, 1.5, 0.5]);
});
