/** SCE against a loop in f64. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { method as sce } from "../../../../src/merge/methods/task-vectors/sce.ts";
import { covers } from "../../../support/covers.ts";
import { apart, deltas, family, runMethod, SHAPES, type Trial, testShapes } from "../../run-method.ts";

covers("merge/sce", "merge/sce-squares", "merge/sce-variance");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

function reference(trial: Trial, share: number): Float64Array {
  const vectors = deltas(trial.base!, trial.models);
  const [count, size] = [vectors.length, trial.base!.length];
  const variance = Float64Array.from({ length: size }, (_, i) => {
    const mean = vectors.reduce((sum, vector) => sum + vector[i]!, 0) / count;
    return vectors.reduce((sum, vector) => sum + (vector[i]! - mean) ** 2, 0) / count;
  });
  const differ = (i: number) => vectors.some((vector) => vector[i] !== vectors[0]![i]);
  const varying = [...variance.keys()].filter(differ);
  varying.sort((a, b) => variance[b]! - variance[a]! || a - b);
  const chosen = share < 1 ? new Set(varying.slice(0, Math.floor(share * varying.length))) : undefined;
  const masked = vectors.map((vector) => Float64Array.from(vector, (d, i) => (chosen?.has(i) === false ? 0 : d)));
  const squares = masked.map((vector) => vector.reduce((sum, d) => sum + d * d, 0) / size);
  const total = squares.reduce((a, b) => a + b, 0);
  const weights = squares.map((square) => (total < 1e-6 ? 1 / count : square / total));
  return Float64Array.from(trial.base!, (value, i) => {
    const here = masked.map((vector) => vector[i]!);
    const sign = here.reduce((a, b) => a + b, 0) >= 0 ? 1 : -1;
    const agree = weights.map((weight, k) => (Math.sign(here[k]!) === sign ? weight : 0));
    const divisor = agree.reduce((a, b) => a + b, 0);
    return value + agree.reduce((sum, weight, k) => sum + weight * here[k]!, 0) / Math.max(divisor, 1e-6);
  });
}

describe("the result", () => {
  test("is that of a loop, whatever the shape and the number of models", async () => {
    for (const [s, shape] of [...SHAPES, [17, 300]].entries()) {
      const size = shape.reduce((a, b) => a * b, 1);
      // Of two or four models the variance of the grid is exact in f32: ties are ties on both sides.
      const trial: Trial = { shape, ...family(size, s % 2 === 0 ? 2 : 4, 20 + s) };
      for (const share of [1, 0.3, 0.01]) {
        const chunkValues = s % 3 === 0 ? Math.max(64, 2 * shape.at(-1)!) : 1 << 20;
        const found = await runMethod(gpu, sce, { ...trial, chunkValues, values: { select_topk: share } });
        expect(apart(found, reference(trial, share))).toBeLessThan(1e-6);
      }
    }
  });

  test("counts models alike where their changes are tiny", async () => {
    const base = new Float32Array(64);
    const models = [base.map(() => 1e-4), base.map(() => 3e-4)];
    const found = await runMethod(gpu, sce, { shape: [64], base, models });
    expect(apart(found, new Float32Array(64).fill(2e-4))).toBeLessThan(1e-6);
  });

  test("weights models by what is selected", async () => {
    const base = new Float32Array(4);
    // Only the first entry varies much; there the second model is three times as far away.
    const models = [Float32Array.of(1, 4, 4, 4), Float32Array.of(3, 4, 4, 4.5)];
    const found = await runMethod(gpu, sce, { shape: [4], base, models, values: { select_topk: 0.5 } });
    expect([...found]).toEqual(
      [Math.fround(0.1 * 1 + 0.9 * 3), 0, 0, 0].map((value) => expect.closeTo(value, 6)) as unknown as number[],
    );
  });
});

describe("laws", () => {
  test("one model is that model, and the base where a selection below 1 finds nothing that varies", async () => {
    const { base, models } = family(33 * 129, 1, 6);
    const trial = { shape: [33, 129], base, models };
    expect(apart(await runMethod(gpu, sce, trial), models[0]!)).toBeLessThan(2e-7);
    expect(await runMethod(gpu, sce, { ...trial, values: { select_topk: 0.9 } })).toEqual(base);
  });

  test("equal models return themselves", async () => {
    const { base, models } = family(300, 1, 8);
    const equal = { shape: [300], base, models: [models[0]!, models[0]!, models[0]!] };
    expect(apart(await runMethod(gpu, sce, equal), models[0]!)).toBeLessThan(2e-7);
    // Variances of equal values are exactly 0, of three as of two.
    expect(await runMethod(gpu, sce, { ...equal, values: { select_topk: 0.9 } })).toEqual(base);
  });

  test("a selection of 0 is the base", async () => {
    const { base, models } = family(300, 2, 8);
    expect(await runMethod(gpu, sce, { shape: [300], base, models, values: { select_topk: 0 } })).toEqual(base);
  });

  testShapes(() => gpu, sce, { models: 2, values: { select_topk: 0.3 } });
  testShapes(() => gpu, sce, { models: 3 });
});
