/** Methods whose result is a fixed combination of base and models: lines, layer_swap, extrapolate, edg, ema. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../src/gpu/gpu.ts";
import { method as ema, emaWeights } from "../../../src/merge/methods/averages/ema.ts";
import { method as layerSwap, zoneOf } from "../../../src/merge/methods/layers/layer-swap.ts";
import { method as lines } from "../../../src/merge/methods/layers/lines.ts";
import { method as edg } from "../../../src/merge/methods/pairs/edg.ts";
import { method as extrapolate } from "../../../src/merge/methods/pairs/extrapolate.ts";
import { linesAlpha, scaleByDepth } from "../../../src/merge/updates/scale-by-depth.ts";
import { normal, randomArray } from "../../experiments/support.ts";
import { covers } from "../../support/covers.ts";
import { mergeArrays, mergeOne } from "../merge-arrays.ts";

covers("merge/add-task-vectors");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const SHAPES = [[1], [3], [257], [5, 51], [3, 2731]];
const f32 = (values: Float64Array) => Float32Array.from(values);
const random = (shape: readonly number[], seed: number) =>
  f32(
    randomArray(
      shape.reduce((a, b) => a * b, 1),
      normal(seed),
    ),
  );

function near(found: Float32Array, wanted: (i: number) => number, tolerance = 3e-7): void {
  for (const [i, value] of found.entries()) {
    const want = wanted(i);
    expect(Math.abs(value - want)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(want)));
  }
}

describe("lines", () => {
  const depths = [undefined, 0, 1 / 3, 1];

  test("scale grows with depth from alpha to alpha + beta, and is alpha outside the blocks", () => {
    const name = "model.norm.weight";
    expect(depths.map((depth) => scaleByDepth({ name, depth }, 0.2, 0.6))).toEqual([0.2, 0.2, 0.4, 0.8]);
    const scales = Array.from({ length: 32 }, (_, l) => scaleByDepth({ name, depth: l / 31 }, 0.1, 0.9));
    expect(scales.every((scale, l) => l === 0 || scale > scales[l - 1]!)).toBe(true);
  });

  test("embeddings and heads keep the whole update", () => {
    for (const name of ["model.embed_tokens.weight", "lm_head.weight"])
      expect(scaleByDepth({ name, depth: undefined }, 0.2, 0.6)).toBe(1);
  });

  test("alpha for several models is the ratio of norms over their number", () => {
    expect(linesAlpha(6, 3, 4)).toBe(0.5);
    expect(linesAlpha(6, 0, 4)).toBe(0.25);
  });

  test("adds the scaled sum of task vectors, in one chunk or several", async () => {
    for (const shape of SHAPES) {
      for (const depth of depths) {
        const [base, a, b] = [random(shape, 1), random(shape, 2), random(shape, 3)];
        const tensor = { shape, base, models: [a, b], ...(depth !== undefined && { depth }) };
        const options = { values: { alpha: 0.3, beta: 0.4 } };
        const found = await mergeOne(gpu, lines, tensor, options);
        const s = scaleByDepth({ name: "w", depth }, 0.3, 0.4);
        near(found, (i) => base[i]! + s * (a[i]! + b[i]! - 2 * base[i]!), 1e-6);
        expect(await mergeOne(gpu, lines, tensor, { ...options, chunkValues: 64 })).toEqual(found);
      }
    }
  });

  test("alpha 1 and beta 0 give the fine-tune, alpha 0 and beta 0 the base, bit by bit", async () => {
    const [base, tuned] = [random([257], 1), random([257], 2)];
    const tensor = { shape: [257], base, models: [tuned], depth: 0.5 };
    expect(await mergeOne(gpu, lines, tensor, { values: { alpha: 1, beta: 0 } })).toEqual(tuned);
    expect(await mergeOne(gpu, lines, tensor, { values: { alpha: 0, beta: 0 } })).toEqual(base);
    const other = { ...tensor, models: [base] };
    expect(await mergeOne(gpu, lines, other, { values: { alpha: 0.37, beta: 0.2 } })).toEqual(base);
  });

  test("defaults keep the base in the first block and the whole update in the last", async () => {
    const [base, tuned] = [random([9], 1), random([9], 2)];
    for (const [depth, wanted] of [
      [0, base],
      [1, tuned],
    ] as const) {
      expect(await mergeOne(gpu, lines, { shape: [9], base, models: [tuned], depth })).toEqual(wanted);
    }
  });

  test("reads and writes 16-bit types", async () => {
    const [base, tuned] = [random([255], 1), random([255], 2)];
    for (const dtype of ["BF16", "F16"] as const) {
      const tensor = { shape: [255], base, models: [tuned], depth: 0.5 };
      const found = await mergeOne(gpu, lines, tensor, {
        inDtype: dtype,
        outDtype: dtype,
        values: { alpha: 0, beta: 1 },
      });
      near(found, (i) => (base[i]! + tuned[i]!) / 2, 2 ** -6);
    }
  });
});

describe("layer_swap", () => {
  const layers = 8;
  const names = Array.from({ length: layers }, (_, l) => `model.layers.${l}.mlp.up_proj.weight`);
  const model = (seed: number) => [...names, "lm_head.weight"].map((_, i) => random([3, 7], seed + i));
  const [math, language, origin] = [model(10), model(50), model(90)];
  const tensors = (withBase = false) =>
    [...names, "lm_head.weight"].map((name, i) => ({
      name,
      shape: [3, 7],
      models: [math[i]!, language[i]!],
      ...(withBase && { base: origin[i]! }),
      ...(i < layers && { layer: i, depth: i / (layers - 1) }),
    }));

  test("copies outer and inner blocks and averages the transition", async () => {
    const values = { bottom: 2, top: 1, transition: 1 };
    const { values: found } = await mergeArrays(gpu, layerSwap, tensors(), { values });
    const sources = ["o", "o", "b", "i", "i", "i", "b", "o"];
    for (const [l, source] of sources.entries()) {
      const out = found.get(names[l]!)!;
      if (source === "o") expect(out).toEqual(language[l]!);
      else if (source === "i") expect(out).toEqual(math[l]!);
      else near(out, (i) => (math[l]![i]! + language[l]![i]!) / 2);
    }
    expect(found.get("lm_head.weight")).toEqual(language[layers]!);
  });

  test("as many bottom blocks as there are give the outer model, none anywhere the inner one", async () => {
    const all = await mergeArrays(gpu, layerSwap, tensors(), { values: { bottom: layers, top: 0 } });
    const none = await mergeArrays(gpu, layerSwap, tensors(), { values: { bottom: 0, top: 0, transition: 0 } });
    for (const [l, name] of names.entries()) {
      expect(all.values.get(name)).toEqual(language[l]!);
      expect(none.values.get(name)).toEqual(math[l]!);
    }
  });

  test("outer: 1 exchanges the two, shared: average averages the rest", async () => {
    const values = { outer: 1, bottom: 1, top: 1, transition: 0, shared: "average" };
    const { values: found } = await mergeArrays(gpu, layerSwap, tensors(), { values });
    expect(found.get(names[0]!)).toEqual(math[0]!);
    expect(found.get(names[3]!)).toEqual(language[3]!);
    near(found.get("lm_head.weight")!, (i) => (math[layers]![i]! + language[layers]![i]!) / 2);
  });

  test("w goes to the inner model, and with weighting: update is its share of the update's size", async () => {
    const values = { bottom: 2, top: 1, w: 0.25 };
    const fixed = await mergeArrays(gpu, layerSwap, tensors(), { values });
    near(fixed.values.get(names[2]!)!, (i) => 0.25 * math[2]![i]! + 0.75 * language[2]![i]!);
    const sized = await mergeArrays(gpu, layerSwap, tensors(true), { values: { ...values, weighting: "update" } });
    const size = (x: Float32Array) => Math.hypot(...x.map((value, i) => value - origin[2]![i]!));
    const share = size(math[2]!) / (size(math[2]!) + size(language[2]!));
    near(sized.values.get(names[2]!)!, (i) => share * math[2]![i]! + (1 - share) * language[2]![i]!, 1e-6);
  });

  test("numbers of blocks are in proportion to 5 and 2 of 32", async () => {
    const { values: found } = await mergeArrays(gpu, layerSwap, tensors());
    const zones = names.map((name, l) =>
      Buffer.from(found.get(name)!.buffer).equals(Buffer.from(language[l]!.buffer)) ? "o" : "-",
    );
    expect(zones.join("")).toBe("o------o");
    const of32 = Array.from({ length: 32 }, (_, l) => zoneOf(l, 32, { bottom: 5, top: 2, transition: 1 })[0]).join("");
    expect(of32).toBe(`ooooob${"i".repeat(23)}boo`);
  });

  test("refuses zones that are larger than the stack, and update sizes without a base", async () => {
    const wide = mergeArrays(gpu, layerSwap, tensors(), { values: { bottom: 6, top: 3 } });
    expect(wide).rejects.toThrow(`${names[0]}: bottom 6 and top 3 are more than its 8 blocks`);
    const lost = mergeArrays(gpu, layerSwap, tensors(), { values: { bottom: 2, top: 1, weighting: "update" } });
    expect(lost).rejects.toThrow(`${names[2]}: the size of an update needs the model that was tuned`);
    await Promise.allSettled([wide, lost]);
  });
});

describe("extrapolate", () => {
  const [base, tuned] = [random([5, 51], 1), random([5, 51], 2)];
  const tensor = { shape: [5, 51], base, models: [tuned] };
  const run = (values: Record<string, unknown>) => mergeOne(gpu, extrapolate, tensor, { values });

  test("back by 0 is the base, back by -1 the tuned model, forward by 0 the tuned model", async () => {
    expect(await run({ alpha: 0 })).toEqual(base);
    expect(await run({ alpha: -1 })).toEqual(tuned);
    expect(await run({ alpha: 0, direction: "forward" })).toEqual(tuned);
  });

  test("steps away from the tuned model by a quarter, or on by 0.3", async () => {
    near(await run({}), (i) => base[i]! + 0.25 * (base[i]! - tuned[i]!), 1e-6);
    near(await run({ direction: "forward" }), (i) => tuned[i]! + 0.3 * (tuned[i]! - base[i]!), 1e-6);
  });

  test("forward by c is back by -(1 + c)", async () => {
    expect(await run({ direction: "forward", alpha: 0.5 })).toEqual(await run({ alpha: -1.5 }));
  });
});

describe("edg", () => {
  const shape = [32, 64];
  const [base, tuned] = [random(shape, 1), random(shape, 2)];
  const tensor = { shape, base, models: [tuned] };

  test("without dropping, the two parts are extrapolations", async () => {
    const degree = await mergeOne(gpu, edg, tensor, { values: { drop: 0 } });
    near(degree, (i) => base[i]! + 0.75 * 0.25 * (base[i]! - tuned[i]!), 1e-6);
    const control = await mergeOne(gpu, edg, tensor, { values: { part: "control", drop: 0, a2: 0.9 } });
    near(control, (i) => 0.9 * tuned[i]! + 0.25 * (tuned[i]! - base[i]!), 1e-6);
  });

  test("dropped entries keep the base, the others get 1/0.3 of their step; vectors stay whole", async () => {
    const found = await mergeOne(gpu, edg, tensor);
    let dropped = 0;
    for (const [i, value] of found.entries()) {
      if (value === base[i]) dropped++;
      else expect(value).toBeCloseTo(base[i]! + (0.1875 / 0.3) * (base[i]! - tuned[i]!), 5);
    }
    expect(dropped / found.length).toBeCloseTo(0.7, 1);
    const vector = await mergeOne(gpu, edg, { ...tensor, shape: [2048] });
    near(vector, (i) => base[i]! + 0.1875 * (base[i]! - tuned[i]!), 1e-6);
  });

  test("masks do not depend on chunks", async () => {
    const whole = await mergeOne(gpu, edg, tensor, { values: { part: "control" } });
    expect(await mergeOne(gpu, edg, tensor, { values: { part: "control" }, chunkValues: 128 })).toEqual(whole);
  });

  test("the mean over 200 seeds is the whole direction within 5 %", async () => {
    const seeds = Array.from({ length: 200 }, (_, seed) => seed);
    const sum = new Float64Array(base.length);
    for (const seed of seeds) {
      const found = await mergeOne(gpu, edg, tensor, { seed, values: { a1: 1, b1: 1 } });
      for (const [i, value] of found.entries()) sum[i]! += (value - base[i]!) / seeds.length;
    }
    // The length of the mean along the direction; single entries scatter by 1.5 / sqrt(200).
    let [along, square] = [0, 0];
    for (const [i, value] of sum.entries()) {
      const d = base[i]! - tuned[i]!;
      along += value * d;
      square += d * d;
    }
    expect(along / square).toBeGreaterThan(0.95);
    expect(along / square).toBeLessThan(1.05);
  });
});

describe("ema", () => {
  const models = [2, 3, 4].map((seed) => random([5, 51], seed));
  const base = random([5, 51], 1);
  const step = (w: number, sequence: readonly Float32Array[]) => (i: number) =>
    sequence.slice(1).reduce((mean, x) => w * mean + (1 - w) * x[i]!, sequence[0]![i]!);

  test("weights sum to 1", () => {
    expect(emaWeights(0.5, 2)).toEqual([0.25, 0.25, 0.5]);
    expect(emaWeights(0.9, 20).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  });

  test("is the recursion, from the base or from the first model", async () => {
    const shape = [5, 51];
    near(await mergeOne(gpu, ema, { shape, base, models }), step(0.9, [base, ...models]), 1e-6);
    near(await mergeOne(gpu, ema, { shape, models }, { values: { w: 0.3 } }), step(0.3, models), 1e-6);
  });

  test("a step at a time gives the same as all at once", async () => {
    const shape = [5, 51];
    let mean: Float32Array = base;
    for (const model of models) mean = await mergeOne(gpu, ema, { shape, base: mean, models: [model] });
    const once = await mergeOne(gpu, ema, { shape, base, models });
    near(once, (i) => mean[i]!, 1e-6);
  });

  test("w = 0 is the last model and w = 1 the first, bit by bit", async () => {
    const shape = [5, 51];
    expect(await mergeOne(gpu, ema, { shape, base, models }, { values: { w: 0 } })).toEqual(models[2]!);
    expect(await mergeOne(gpu, ema, { shape, base, models }, { values: { w: 1 } })).toEqual(base);
    expect(await mergeOne(gpu, ema, { shape, models }, { values: { w: 1 } })).toEqual(models[0]!);
    expect(await mergeOne(gpu, ema, { shape, models: [base] })).toEqual(base);
  });
});
