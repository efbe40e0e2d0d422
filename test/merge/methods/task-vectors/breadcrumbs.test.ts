/** Model Breadcrumbs, with and without the election of signs, against loops in f64. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { method as breadcrumbs } from "../../../../src/merge/methods/task-vectors/breadcrumbs.ts";
import { method as breadcrumbsTies } from "../../../../src/merge/methods/task-vectors/breadcrumbs-ties.ts";
import { method as taskArithmetic } from "../../../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { method as ties } from "../../../../src/merge/methods/task-vectors/ties.ts";
import { outlierCounts } from "../../../../src/merge/updates/sparsify-by-outliers.ts";
import { apart, deltas, family, runMethod, SHAPES, type Trial, testShapes } from "../../run-method.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

/** What is left of a task vector: of equal magnitudes the lower index ranks higher. */
function kept(delta: Float32Array, density: number, gamma: number): Float32Array {
  if (density >= 1) return delta;
  const order = [...delta.keys()].sort((a, b) => Math.abs(delta[b]!) - Math.abs(delta[a]!) || a - b);
  const { top } = outlierCounts(delta.length, density, gamma);
  const survivors = new Set(order.slice(top, top + Math.floor(density * delta.length)));
  return delta.map((value, i) => (survivors.has(i) ? value : 0));
}

interface Parameters {
  readonly weight: readonly number[];
  readonly density: readonly number[];
  readonly gamma: readonly number[];
}

function reference(
  trial: Trial,
  { weight, density, gamma }: Parameters,
  elect: boolean,
  rescale: boolean,
): Float64Array {
  const vectors = deltas(trial.base!, trial.models).map((delta, k) => {
    const left = kept(delta, density[k]!, gamma[k]!);
    const norm = (values: Float32Array) => values.reduce((sum, value) => sum + Math.abs(value), 0);
    const scale = rescale && norm(left) > 1e-7 ? norm(delta) / norm(left) : 1;
    return Float64Array.from(left, (value) => value * scale * weight[k]!);
  });
  return Float64Array.from(trial.base!, (value, i) => {
    const here = vectors.map((vector) => vector[i]!);
    const sum = here.reduce((a, b) => a + b, 0);
    if (!elect) return value + sum;
    const sign = sum >= 0 ? 1 : -1;
    return value + here.reduce((a, b) => (Math.sign(b) === sign ? a + b : a), 0);
  });
}

describe("the counts", () => {
  test("keep floor(density n) values and drop floor(gamma n) above them", () => {
    expect(outlierCounts(1000, 0.5, 0.01)).toEqual({ bottom: 490, top: 10 });
    expect(outlierCounts(99, 0.9, 0.01)).toEqual({ bottom: 10, top: 0 });
  });
  test("let the top give way where the density leaves no room", () => {
    expect(outlierCounts(100, 0.95, 0.2)).toEqual({ bottom: 0, top: 5 });
  });
});

describe("the result", () => {
  const parameters = { weight: [0.75, -0.5, 1.25], density: [0.6, 0.25, 1], gamma: [0.05, 0.1, 0.3] };

  test("is that of a loop, whatever the shape", async () => {
    for (const [s, shape] of SHAPES.entries()) {
      const size = shape.reduce((a, b) => a * b, 1);
      const trial: Trial = { shape, ...family(size, 3, 40 + s), perModel: { ...parameters } };
      for (const rescale of [false, true]) {
        const one = { ...trial, values: { rescale } };
        expect(
          apart(await runMethod(gpu, breadcrumbs, one), reference(trial, parameters, false, rescale)),
        ).toBeLessThan(5e-7);
        expect(
          apart(await runMethod(gpu, breadcrumbsTies, one), reference(trial, parameters, true, rescale)),
        ).toBeLessThan(5e-7);
      }
    }
  });

  test("keeps the largest where gamma n is below 1, and drops the whole task vector under compatBugs", async () => {
    const { base, models } = family(64, 1, 3);
    const trial: Trial = { shape: [64], base, models, perModel: { weight: [1], density: [0.5], gamma: [0.01] } };
    const wanted = base.map((value, i) => value + kept(deltas(base, models)[0]!, 0.5, 0.01)[i]!);
    expect(await runMethod(gpu, breadcrumbs, trial)).toEqual(wanted);
    expect(await runMethod(gpu, breadcrumbs, { ...trial, compatBugs: true })).toEqual(base);
    const dense = { ...trial, compatBugs: true, perModel: { weight: [1], density: [1], gamma: [0.01] } };
    expect(await runMethod(gpu, breadcrumbs, dense)).toEqual(models[0]!);
  });

  test("of density 0 is the base", async () => {
    const { base, models } = family(257, 2, 4);
    const perModel = { weight: [1, 1], density: [0, 0] };
    expect(await runMethod(gpu, breadcrumbs, { shape: [257], base, models, perModel })).toEqual(base);
  });
});

describe("laws", () => {
  test("lambda 0 returns the base", async () => {
    const { base, models } = family(35, 2, 5);
    for (const method of [breadcrumbs, breadcrumbsTies]) {
      const trial = {
        shape: [5, 7],
        base,
        models,
        values: { lambda: 0 },
        perModel: { weight: [1, 2], density: [0.5, 1] },
      };
      expect(await runMethod(gpu, method, trial)).toEqual(base);
    }
  });

  test("one model of density 1, normalized, is that model, whatever its weight", async () => {
    const { base, models } = family(33 * 129, 1, 6);
    const trial = {
      shape: [33, 129],
      base,
      models,
      values: { normalize: true },
      perModel: { weight: [0.37], density: [1] },
    };
    expect(apart(await runMethod(gpu, breadcrumbsTies, trial), models[0]!)).toBeLessThan(2e-7);
  });

  test("equal models of density 1, normalized, return themselves", async () => {
    const { base, models } = family(300, 1, 8);
    const equal = [models[0]!, models[0]!, models[0]!];
    const trial = { shape: [300], base, models: equal, values: { normalize: true }, perModel: { weight: [1, 1, 1] } };
    for (const method of [breadcrumbs, breadcrumbsTies]) {
      expect(apart(await runMethod(gpu, method, trial), models[0]!)).toBeLessThan(2e-7);
    }
  });

  test("densities of 1 give task arithmetic, with and without the election of ties", async () => {
    const { base, models } = family(33 * 129, 3, 6);
    const perModel = { weight: [0.7, -0.2, 0.5] };
    const trial = { shape: [33, 129], base, models, perModel, values: { normalize: true } };
    const plain = await runMethod(gpu, taskArithmetic, trial);
    expect(await runMethod(gpu, breadcrumbs, trial)).toEqual(plain);
    expect(await runMethod(gpu, breadcrumbsTies, trial)).toEqual(await runMethod(gpu, ties, trial));
  });

  testShapes(() => gpu, breadcrumbs, {
    perModel: { weight: 0.5, density: 0.4, gamma: 0.02 },
    values: { rescale: true },
  });
  testShapes(() => gpu, breadcrumbsTies, { perModel: { weight: 0.5, density: 0.4, gamma: 0.02 } });
});
