import { beforeAll, describe, expect, test } from "bun:test";
import { DTYPE_BYTES } from "../../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { bernoulli, dense, magnitude } from "../../../src/merge/updates/sparsify.ts";
import { taskVectorLaws, taskVectorMethod } from "../../../src/merge/updates/task-vectors.ts";
import { inFlag, type OperandDtype, outFlag } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { EPSILON, expectWithin, OPERANDS, rounded, roundOne, SIZES, TINIEST } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { writtenBy } from "../../support/job.ts";
import { normals } from "../../support/random.ts";
import {
  type ModelSparsity,
  packModels,
  randomMasks,
  SPARSITY_FLAGS,
  type SparsityFlag,
  someModel,
  survives,
} from "../../support/sparsity.ts";
import { readAs, runSpans, stackOf } from "../../support/stack.ts";

covers("merge/task-vectors");

const DEVIATION = 0.1;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

interface Run {
  readonly from: OperandDtype;
  readonly to: OperandDtype;
  readonly flag: SparsityFlag;
  readonly elect: boolean;
  readonly normalize: boolean;
  readonly models: readonly ModelSparsity[];
  readonly lambda: number;
  readonly divisor: number;
  readonly start: number;
  readonly rounding?: string;
}

const SETTING = { from: "F32", to: "F32", lambda: 0.8, divisor: 1.5, start: 0 } as const;

const tensorsOf = (count: number, size: number, dtype: OperandDtype): Float32Array[] => {
  const base = rounded(normals(size, size), dtype);
  const tuned = Array.from({ length: count }, (_, k) => {
    const noise = normals(size + k + 1, size, DEVIATION);
    return rounded(
      base.map((x, i) => x + noise[i]!),
      dtype,
    );
  });
  return [base, ...tuned];
};

const WEIGHTS = [0.7, -0.3, 1.1];
const SCALES = [1, 1.25, 2];
const MODELS = WEIGHTS.map((weight, k) => someModel(k, weight, SCALES[k]!, DEVIATION));

/** Masks of the whole tensor, of which `start` values lie before those at hand. */
const masksFor = (run: Run, size: number) => randomMasks(9, run.models.length, run.start + size);

async function merged(tensors: readonly Float32Array[], run: Run): Promise<Float32Array> {
  const { from, to, flag, elect, models, lambda, divisor, start } = run;
  const masks = masksFor(run, tensors[0]!.length);
  using stack = stackOf(gpu, from, tensors);
  using packed = gpu.upload(packModels(models), "models");
  using held = gpu.upload(masks.words, "masks");
  const flags = [
    ...inFlag(from),
    ...(run.rounding ? [run.rounding] : []),
    ...(flag ? [flag] : []),
    ...(elect ? ["elect"] : []),
    ...(run.normalize ? ["normalized"] : []),
    ...outFlag(to),
  ];
  using result = await runSpans(gpu, "merge/task-vectors", flags, stack.n4, {
    bind: { stack: stack.buffer, models: packed.buffer, ...(flag === "by_mask" ? { masks: held.buffer } : {}) },
    params: {
      n4: stack.n4,
      pitch: stack.pitch,
      start,
      mask_pitch: masks.pitch,
      lambda,
      divisor,
    },
    constants: { K: models.length },
    output: "result",
    bytes: 4 * stack.n4 * DTYPE_BYTES[to],
  });
  return readAs(gpu, result.buffer, to, tensors[0]!.length);
}

/** The definition, in f64, with a bound on what f32 may differ by; undefined where the election is too close to call. */
function reference(
  tensors: readonly Float32Array[],
  run: Run,
  masks: ReturnType<typeof randomMasks>,
  i: number,
): { value: number; bound: number } | undefined {
  const base = tensors[0]![i]!;
  let up = 0;
  let down = 0;
  let upShare = 0;
  let downShare = 0;
  for (const [k, model] of run.models.entries()) {
    const d = Math.fround(tensors[k + 1]![i]! - base);
    if (!survives(run.flag, model, k, run.start + i, d, masks)) continue;
    const weight = Math.fround(model.weight);
    const e = weight * d * Math.fround(model.scale);
    if (e > 0) [up, upShare] = [up + e, upShare + weight];
    if (e < 0) [down, downShare] = [down + e, downShare + weight];
  }
  const size = up - down;
  const steps = (4 * run.models.length + 8) * EPSILON.F32;
  if (run.elect && size > 0 && Math.abs(up + down) <= steps * size) return undefined;
  const positive = up + down >= 0;
  const share = run.elect ? (positive ? upShare : downShare) || 1 : Math.fround(run.divisor);
  const delta = run.elect ? (positive ? up : down) : up + down;
  const factor = Math.fround(run.lambda) / (run.normalize ? share : 1);
  const value = base + factor * delta;
  const bound = steps * Math.abs(factor) * size + 2 * EPSILON.F32 * Math.abs(value);
  return { value, bound: bound + EPSILON[run.to] * (Math.abs(value) + bound) + TINIEST[run.to] };
}

async function check(tensors: readonly Float32Array[], run: Run): Promise<void> {
  const found = await merged(tensors, run);
  const masks = masksFor(run, found.length);
  const sure = Array.from(found, (_, i) => reference(tensors, run, masks, i));
  const known = sure.flatMap((one, i) => (one ? [i] : []));
  expect(known.length).toBeGreaterThan(0.999 * found.length - 1);
  expectWithin(
    Float32Array.from(known, (i) => found[i]!),
    known.map((i) => sure[i]!.value),
    (at) => sure[known[at]!]!.bound,
    `${run.flag ?? "dense"}${run.elect ? ", elected" : ""}: value`,
  );
}

const FORMS = SPARSITY_FLAGS.flatMap((flag) => [false, true].map((elect) => ({ flag, elect, name: flag ?? "dense" })));

describe.each(FORMS)("$name, election $elect", ({ flag, elect }) => {
  test("values of every size, divided or not", async () => {
    for (const size of SIZES.filter((size) => size < 5_000)) {
      for (const normalize of [false, true]) {
        await check(tensorsOf(3, size, "F32"), { ...SETTING, flag, elect, normalize, models: MODELS });
      }
    }
  });

  test("values that begin anywhere in their tensor", async () => {
    for (const start of [1, 29, 30, 31, 32, 4_095]) {
      await check(tensorsOf(3, 257, "F32"), { ...SETTING, flag, elect, normalize: true, models: MODELS, start });
    }
  });

  test("one model and several, positive and negative", async () => {
    for (const weights of [[1], [-1], [0.5, 0.5], [-0.2, -0.9], [0, 1, 0.4, -2, 0.1]]) {
      const models = weights.map((weight, k) => someModel(k, weight, 1, DEVIATION));
      const run = { ...SETTING, flag, elect, normalize: true, models, lambda: -1.3 };
      await check(tensorsOf(models.length, 1_021, "F32"), run);
    }
  });
});

test.each(OPERANDS.flatMap((from) => OPERANDS.map((to) => [from, to] as const)))("from %s to %s", async (from, to) => {
  const run = { ...SETTING, from, to, flag: "by_rank", elect: true, normalize: true, models: MODELS } as const;
  await check(tensorsOf(3, 4_097, from), run);
});

test("a whole dispatch of spans", async () => {
  const run = { ...SETTING, from: "BF16", to: "BF16", elect: true, normalize: true, models: MODELS } as const;
  await check(tensorsOf(3, 65_537, "BF16"), { ...run, flag: "by_rank" });
});

test("an election that ends in a tie goes to the positive side", async () => {
  const base = new Float32Array(4);
  const tensors = [base, new Float32Array([1, -1, 0, 2]), new Float32Array([-1, 1, 0, -2])];
  const models = [someModel(0, 1, 1, 1), someModel(1, 1, 1, 1)];
  const run = { ...SETTING, flag: undefined, elect: true, normalize: true, models, lambda: 1 };
  expect([...(await merged(tensors, run))]).toEqual([1, 1, 0, 2]);
});

test("of equal magnitudes at a cut, those of lower index belong to the top", async () => {
  const size = 1_021;
  const base = new Float32Array(size);
  const model = base.map((_, i) => [0.5, -0.5, 1, 0.25][i % 4]!);
  const half = new Uint32Array(new Float32Array([0.5]).buffer)[0]!;
  const start = 7;
  const chosen = { ...someModel(0, 1, 1, 1), low: { bits: half, index: start + 500 } };
  const run = {
    ...SETTING,
    flag: "by_rank",
    elect: false,
    normalize: false,
    models: [chosen],
    lambda: 1,
    start,
  } as const;
  const kept = (i: number) => i % 4 === 2 || (i % 4 < 2 && i <= 500);
  const upper = { ...chosen, low: { bits: 0, index: 0xffffffff }, high: chosen.low };
  expectWithin(
    await merged([base, model], run),
    model.map((x, i) => (kept(i) ? x : 0)),
    () => 0,
  );
  expectWithin(
    await merged([base, model], { ...run, models: [upper] }),
    model.map((x, i) => (kept(i) ? 0 : x)),
    () => 0,
  );
});

describe("in compatibility rounding", () => {
  /** Every step in the working type, in the order of the kernel. */
  function stepwise(tensors: readonly Float32Array[], run: Run, type: "BF16" | "F16"): Float32Array {
    const r = (values: Float32Array) => rounded(values, type);
    const base = tensors[0]!;
    const masks = masksFor(run, base.length);
    const up = new Float32Array(base.length);
    const down = new Float32Array(base.length);
    const shares = [new Float32Array(base.length), new Float32Array(base.length)] as const;
    for (const [k, model] of run.models.entries()) {
      const weight = Math.fround(model.weight);
      const d = r(tensors[k + 1]!.map((x, i) => x - base[i]!));
      const kept = r(
        d.map((x, i) => (survives(run.flag, model, k, run.start + i, x, masks) ? x * Math.fround(model.scale) : 0)),
      );
      for (const [i, e] of r(kept.map((x) => weight * x)).entries()) {
        up[i] = up[i]! + Math.max(e, 0);
        down[i] = down[i]! + Math.min(e, 0);
        if (e > 0) shares[0][i] = shares[0][i]! + weight;
        if (e < 0) shares[1][i] = shares[1][i]! + weight;
      }
    }
    const sums = r(up.map((x, i) => x + down[i]!));
    const chosen = run.elect ? r(up.map((x, i) => (sums[i]! >= 0 ? x : down[i]!))) : sums;
    const share = r(
      run.elect
        ? sums.map((sum, i) => (sum >= 0 ? shares[0][i]! : shares[1][i]!) || 1)
        : sums.map(() => Math.fround(run.divisor)),
    );
    const delta = run.normalize ? r(chosen.map((x, i) => x / share[i]!)) : chosen;
    const scaled = r(delta.map((x) => x * Math.fround(run.lambda)));
    return r(base.map((x, i) => x + scaled[i]!));
  }

  const models = WEIGHTS.map((weight, k) => someModel(k, roundOne(weight, "BF16"), SCALES[k]!, DEVIATION));

  test.each([
    [undefined, false, "BF16"],
    [undefined, true, "BF16"],
    ["by_rank", true, "BF16"],
    ["by_rank", false, "F16"],
    ["by_chance", true, "F16"],
    ["by_mask", true, "BF16"],
  ] as const)("%p with election %p rounds every step to %s", async (flag, elect, type) => {
    const tensors = tensorsOf(3, 4_097, type);
    for (const normalize of [false, true]) {
      const run = { ...SETTING, from: type, to: type, flag, elect, normalize, models, start: 3 };
      const found = await merged(tensors, { ...run, rounding: `round_${type.toLowerCase()}` });
      const expected = stepwise(tensors, run, type);
      // A division may be 2.5 units of f32 off, and cross a rounding boundary: one unit of the step it is in.
      const unit = 2 * EPSILON[type];
      expectWithin(found, expected, (i) => unit * (Math.abs(expected[i]!) + 20 * DEVIATION));
      const same = found.reduce((count, x, i) => count + Number(x === expected[i]), 0);
      expect(same).toBeGreaterThan(0.995 * found.length);
    }
  });
});

describe("jobs of several chunks", () => {
  const n = 5_003;
  const [base, ...models] = tensorsOf(3, n, "BF16") as [Float32Array, ...Float32Array[]];
  const values = {
    weight: [0.4, -0.3, 0.9],
    density: [0.5, 0.2, 1],
    lambda: 0.7,
    normalize: true,
    rescale: true,
    rescale_norm: "l2",
  };

  const info = { name: "test", title: "Test", about: "a test", cite: "mergekit", laws: taskVectorLaws };
  const defaults = { ...info, normalize: true, rescale: true };

  test.each([
    ["dense", (elect: boolean) => taskVectorMethod({ ...defaults, elect, sparsify: dense })],
    ["by magnitude", (elect: boolean) => taskVectorMethod({ ...defaults, elect, sparsify: magnitude })],
    ["by chance", (elect: boolean) => taskVectorMethod({ ...defaults, elect, sparsify: bernoulli })],
  ] as const)("%s: the same bits as in one chunk", async (name, methodOf) => {
    for (const elect of [false, true]) {
      const method = methodOf(elect);
      const inputs = { base, models, values, dtype: "BF16", outDtype: "F32", shape: [n, 1] } as const;
      const whole = await writtenBy(gpu, method, inputs);
      expect(whole.length).toBe(n);
      for (const passes of ["one", "many"] as const) {
        const cut = { ...inputs, passes, settings: { chunkValues: 777 } };
        const written = await writtenBy(gpu, method, cut);
        // Norms are added up in another order, so the factors may differ in the last place.
        const tolerance = name === "dense" ? 0 : 8 * EPSILON.F32;
        expectWithin(written, whole, (i) => tolerance * (1 + Math.abs(whole[i]!)));
        expect(await writtenBy(gpu, method, cut)).toEqual(written);
      }
    }
  });
});
