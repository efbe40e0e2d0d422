/** RAM and RAM+ against a loop in f64. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { method as ram } from "../../../../src/merge/methods/task-vectors/ram.ts";
import { method as ramplus } from "../../../../src/merge/methods/task-vectors/ramplus-tl.ts";
import { covers } from "../../../support/covers.ts";
import { apart, deltas, family, runMethod, SHAPES, type Trial, testShapes } from "../../run-method.ts";

covers("merge/ram", "merge/ram-counts");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

function reference(trial: Trial, epsilon: number, r: number, alpha: number): Float64Array {
  const vectors = deltas(trial.base!, trial.models);
  const changed = (i: number) => vectors.map((vector) => Math.abs(vector[i]!) > Math.fround(epsilon));
  const shared = vectors.map(() => 0);
  const unique = vectors.map(() => 0);
  for (const i of trial.base!.keys()) {
    const here = changed(i);
    const several = here.filter(Boolean).length > 1;
    for (const k of vectors.keys()) if (here[k]) (several ? shared : unique)[k]!++;
  }
  const factor = shared.map((count, k) => 1 + r * Math.min(alpha, Math.max(0, count / Math.max(unique[k]!, epsilon))));
  return Float64Array.from(trial.base!, (value, i) => {
    const here = changed(i);
    const count = here.filter(Boolean).length;
    const part = (k: number) => (count === 1 ? factor[k]! : 1 / count) * vectors[k]![i]!;
    return value + here.reduce((sum, yes, k) => (yes ? sum + part(k) : sum), 0);
  });
}

describe("the result", () => {
  // Of the grid's steps of 1/1024, changes of up to 20 and up to 8 count as none.
  const epsilons = [0.02, 0.008];

  test("is that of a loop, whatever the shape and the number of models", async () => {
    for (const [s, shape] of [...SHAPES, [17, 300]].entries()) {
      const size = shape.reduce((a, b) => a * b, 1);
      const trial: Trial = { shape, ...family(size, 1 + (s % 4), 20 + s) };
      for (const epsilon of epsilons) {
        const one = { ...trial, chunkValues: s % 2 === 0 ? Math.max(64, 2 * shape.at(-1)!) : 1 << 20 };
        const plain = await runMethod(gpu, ram, { ...one, values: { epsilon } });
        expect(apart(plain, reference(trial, epsilon, 0, 0))).toBeLessThan(3e-7);
        for (const [r, alpha] of [
          [0.1, 0.2],
          [0.5, 3],
          [-0.3, 1e9],
        ] as const) {
          const found = await runMethod(gpu, ramplus, { ...one, values: { epsilon, r, alpha } });
          // Where a model has no change of its own, its factor is never used.
          expect(apart(found, reference(trial, epsilon, r, alpha))).toBeLessThan(5e-7);
        }
      }
    }
  });

  test("scales by the ratio of shared to unshared changes, up to alpha", async () => {
    const base = new Float32Array(8);
    const models = [Float32Array.of(1, 1, 0, 0, 0, 0, 0, 2), Float32Array.of(0, 0, 1, 1, 1, 1, 1, 4)];
    const run = (values: Record<string, number>) => runMethod(gpu, ramplus, { shape: [8], base, models, values });
    const [first, second] = [1 + 0.1 * 0.5, 1 + 0.1 * 0.2]; // 1 shared of 2 unshared, 1 of 5
    expect(apart(await run({ alpha: 1 }), [first, first, second, second, second, second, second, 3])).toBeLessThan(
      1e-7,
    );
    expect(apart(await run({}), [second, second, second, second, second, second, second, 3])).toBeLessThan(1e-7);
  });
});

describe("laws", () => {
  test("one model is that model where it differs by more than epsilon, the base elsewhere", async () => {
    const { base, models } = family(33 * 129, 1, 6);
    const trial = { shape: [33, 129], base, models };
    expect(await runMethod(gpu, ram, trial)).toEqual(models[0]!);
    const wanted = base.map((value, i) => (Math.abs(models[0]![i]! - value) > 0.02 ? models[0]![i]! : value));
    expect(await runMethod(gpu, ram, { ...trial, values: { epsilon: 0.02 } })).toEqual(wanted);
  });

  test("equal models return themselves", async () => {
    const { base, models } = family(300, 1, 8);
    const equal = { shape: [300], base, models: [models[0]!, models[0]!, models[0]!] };
    for (const method of [ram, ramplus]) {
      expect(apart(await runMethod(gpu, method, equal), models[0]!)).toBeLessThan(2e-7);
    }
  });

  testShapes(() => gpu, ram, { values: { epsilon: 0.02 } });
  testShapes(() => gpu, ramplus, { values: { epsilon: 0.02 } });
});
