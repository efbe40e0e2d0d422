import { beforeAll, describe, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { LANES, REDUCE_SPAN } from "../../../src/gpu/grid.ts";
import { inFlag, type OperandDtype } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { EPSILON, OPERANDS, rounded, SIZES } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import {
  packModels,
  randomMasks,
  SPARSITY_FLAGS,
  type SparsityFlag,
  someModel,
  survives,
} from "../../support/sparsity.ts";
import { runSpans, stackOf } from "../../support/stack.ts";

covers("merge/survivor-norms");

const DEVIATION = 0.1;
const MODELS = [0, 1, 2].map((k) => someModel(k, 1, 1, DEVIATION));

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

interface Run {
  readonly dtype: OperandDtype;
  readonly flag: SparsityFlag;
  readonly norm: number;
  readonly start: number;
  readonly rounding?: "BF16";
}

/** (before, after) of every model, of one span after the other. */
async function norms(tensors: readonly Float32Array[], { dtype, flag, norm, start, rounding }: Run) {
  const masks = randomMasks(9, MODELS.length, start + tensors[0]!.length);
  using stack = stackOf(gpu, dtype, tensors);
  using packed = gpu.upload(packModels(MODELS), "models");
  using held = gpu.upload(masks.words, "masks");
  const spans = Math.ceil(stack.n4 / REDUCE_SPAN);
  const flags = [
    ...inFlag(dtype),
    ...(rounding ? ["round_bf16"] : []),
    ...(flag ? [flag] : []),
    ["linf", "l1", "l2"][norm]!,
  ];
  using result = await runSpans(gpu, "merge/survivor-norms", flags, stack.n4, {
    bind: { stack: stack.buffer, models: packed.buffer, ...(flag === "by_mask" ? { masks: held.buffer } : {}) },
    params: { n4: stack.n4, pitch: stack.pitch, start, mask_pitch: masks.pitch },
    constants: { K: MODELS.length },
    output: "partials",
    bytes: 8 * spans * MODELS.length * LANES,
    span: REDUCE_SPAN,
  });
  const partials = await gpu.readFloats(result.buffer, 2 * spans * MODELS.length * LANES);
  return Array.from({ length: spans }, (_, span) =>
    MODELS.map((_, k) =>
      [0, 1].map((which) => {
        const first = 2 * LANES * (span * MODELS.length + k);
        const lanes = Array.from({ length: LANES }, (_, lane) => partials[first + 2 * lane + which]!);
        return norm === 0 ? Math.max(...lanes) : lanes.reduce((a, b) => a + b, 0);
      }),
    ),
  );
}

async function check(tensors: readonly Float32Array[], run: Run): Promise<void> {
  const size = tensors[0]!.length;
  const masks = randomMasks(9, MODELS.length, run.start + size);
  const found = await norms(tensors, run);
  for (const [span, ofModels] of found.entries()) {
    for (const [k, model] of MODELS.entries()) {
      const expected = [0, 0];
      for (let i = 4 * REDUCE_SPAN * span; i < Math.min(size, 4 * REDUCE_SPAN * (span + 1)); i++) {
        const exact = Math.fround(tensors[k + 1]![i]! - tensors[0]![i]!);
        const d = run.rounding ? rounded(new Float32Array([exact]), run.rounding)[0]! : exact;
        const term = run.norm === 2 ? d * d : Math.abs(d);
        const add = (sum: number) => (run.norm === 0 ? Math.max(sum, term) : sum + term);
        expected[0] = add(expected[0]!);
        if (survives(run.flag, model, k, run.start + i, d, masks)) expected[1] = add(expected[1]!);
      }
      // A lane adds 64 terms in each of four components, one after the other; the largest needs no rounding.
      const tolerance = run.norm === 0 ? 0 : 70 * EPSILON.F32;
      for (const which of [0, 1]) {
        const off = Math.abs(ofModels[k]![which]! - expected[which]!);
        expect(off).toBeLessThanOrEqual(tolerance * expected[which]!);
      }
    }
  }
}

const tensorsOf = (size: number, dtype: OperandDtype): Float32Array[] => {
  const base = rounded(normals(size, size), dtype);
  const tuned = MODELS.map((_, k) => {
    const noise = normals(size + k + 1, size, DEVIATION);
    return rounded(
      base.map((x, i) => x + noise[i]!),
      dtype,
    );
  });
  return [base, ...tuned];
};

describe.each([0, 1, 2])("norm %d", (norm) => {
  test.each([...SPARSITY_FLAGS])("of survivors %p, at every size", async (flag) => {
    for (const size of SIZES.filter((size) => size < 5_000)) {
      await check(tensorsOf(size, "F32"), { dtype: "F32", flag, norm, start: 0 });
    }
  });

  test.each([...SPARSITY_FLAGS])("of survivors %p, from anywhere in the tensor", async (flag) => {
    for (const start of [1, 29, 31, 4_095]) {
      await check(tensorsOf(1_021, "F32"), { dtype: "F32", flag, norm, start });
    }
  });

  test("of every type, over several spans", async () => {
    for (const dtype of OPERANDS) await check(tensorsOf(40_009, dtype), { dtype, flag: "by_rank", norm, start: 5 });
  });

  test("of differences rounded to the working type, in compatibility mode", async () => {
    const run = { dtype: "BF16", flag: "by_rank", norm, start: 0, rounding: "BF16" } as const;
    await check(tensorsOf(4_097, "BF16"), run);
  });
});

test("partial norms have the same bits every time", async () => {
  const tensors = tensorsOf(20_011, "F32");
  const run = { dtype: "F32", flag: "by_rank", norm: 2, start: 0 } as const;
  const first = await norms(tensors, run);
  for (let i = 0; i < 5; i++) expect(await norms(tensors, run)).toEqual(first);
});
