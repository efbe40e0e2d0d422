/**
 * Kernels of wgsl/merge that make one value of the values in its place, each against its formula in f64: over sizes around vectors,
 * spans and primes, and over the types that stacks have. Those with more to them have files of their own.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { SPAN, spanGroups } from "../../../src/gpu/grid.ts";
import { inFlag, type OperandDtype } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { EPSILON, expectWithin, rounded, SIZES } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { stackOf } from "../../support/stack.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

/** Values in place `i`: base and models, or models alone. */
type Stack = readonly Float32Array[];

interface Case {
  readonly kernel: string;
  readonly slots: number;
  readonly flags?: readonly string[];
  readonly constants?: Record<string, number>;
  readonly output?: string;
  /** Further buffers, of `n` values each where they are arrays. */
  readonly bind?: (n: number) => Record<string, Float32Array | Uint32Array>;
  readonly params: (n: number, pitch: number) => Record<string, number>;
  readonly wanted: (stack: Stack, i: number, more: Record<string, ArrayLike<number>>) => number;
}

const [SHARES, STEPS] = [
  [0.3, 0.9, 0.5],
  [-0.7, 0.2, 1.1],
];
const EXTRA = (n: number, slots: number) => Math.ceil(n / 4) * 4 * slots;
const n4 = (n: number) => Math.ceil(n / 4);
const positive = (values: Float32Array) => values.map((x) => Math.abs(x) + 0.01);
const padded = (seed: number, n: number) => normals(seed, EXTRA(n, 1));
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const deltas = ([base, ...models]: Stack, i: number) => models.map((x) => Math.fround(x[i]! - base![i]!));

const CASES: readonly Case[] = [
  {
    kernel: "merge/nearswap",
    slots: 2,
    params: (n, pitch) => ({ n4: n4(n), pitch, t: 0.4 }),
    wanted: ([base, x], i) => {
      const w = Math.min(1, 0.4 / Math.max(Math.abs(base![i]! - x![i]!), 1e-6));
      return w * x![i]! + (1 - w) * base![i]!;
    },
  },
  {
    kernel: "merge/ram",
    slots: 4,
    constants: { K: 3 },
    bind: () => ({ factors: Float32Array.from(SHARES!) }),
    params: (n, pitch) => ({ n4: n4(n), pitch, epsilon: 0.7 }),
    wanted: (stack, i) => {
      const changed = deltas(stack, i).flatMap((d, k) => (Math.abs(d) > Math.fround(0.7) ? [{ d, k }] : []));
      const [only] = changed;
      if (only === undefined) return stack[0]![i]!;
      const step = changed.length === 1 ? Math.fround(SHARES![only.k]!) * only.d : sum(changed.map(({ d }) => d));
      return stack[0]![i]! + step / changed.length;
    },
  },
  {
    kernel: "merge/fisher",
    slots: 3,
    bind: (n) => ({ statistics: positive(normals(9, EXTRA(n, 3))), shares: Float32Array.from(SHARES!) }),
    params: (n, pitch) => ({ n4: n4(n), pitch, statistics_pitch: n4(n), k: 3, floor: 0.125 }),
    wanted: (stack, i, { statistics }) => {
      const pitch = EXTRA(stack[0]!.length, 1);
      const weights = stack.map((_, k) => Math.fround(SHARES![k]!) * (statistics![k * pitch + i]! + 0.125));
      return sum(stack.map((x, k) => weights[k]! * x[i]!)) / sum(weights);
    },
  },
  {
    kernel: "merge/arcee-fusion",
    slots: 2,
    bind: (n) => ({ importance: padded(5, n) }),
    params: (n, pitch) => ({ n4: n4(n), pitch, threshold: 0.25 }),
    wanted: ([base, x], i, { importance }) => (importance![i]! >= 0.25 ? x![i]! : base![i]!),
  },
  {
    kernel: "merge/add-updates",
    slots: 4,
    bind: (n) => ({
      starts: normals(7, EXTRA(n, 3)),
      weights: Float32Array.of(1, 0, 0.5, 0, ...STEPS!),
    }),
    params: (n, pitch) => ({ n4: n4(n), pitch, starts_pitch: n4(n), slots: 4, k: 3, first: 1 }),
    wanted: (stack, i, { starts }) => {
      const pitch = EXTRA(stack[0]!.length, 1);
      const moved = [0, 1, 2].map((k) => Math.fround(STEPS![k]!) * (stack[k + 1]![i]! - starts![k * pitch + i]!));
      return stack[0]![i]! + 0.5 * stack[2]![i]! + sum(moved);
    },
  },
  {
    kernel: "merge/add-task-vectors",
    slots: 4,
    bind: () => ({ terms: Float32Array.from(STEPS!.flatMap((plain) => [plain, 0, 0, 0, 0])) }),
    params: (n, pitch) => ({ n4: n4(n), pitch, k: 3, start: 0, base_scale: 0.5 }),
    wanted: (stack, i) => 0.5 * stack[0]![i]! + sum(deltas(stack, i).map((d, k) => Math.fround(STEPS![k]!) * d)),
  },
  {
    kernel: "merge/rescale-change",
    slots: 1,
    bind: (n) => ({ merged: padded(5, n) }),
    params: (n) => ({ n4: n4(n), scale: 0.75 }),
    wanted: ([base], i, { merged }) => base![i]! + 0.75 * (merged![i]! - base![i]!),
  },
  {
    kernel: "merge/task-vector",
    slots: 3,
    output: "values",
    params: (n, pitch) => ({ n, pitch, slot: 2, start: 0 }),
    wanted: ([base, , x], i) => x![i]! - base![i]!,
  },
  ...[["rows"], ["rows", "delta"], [], ["delta"]].map(
    (flags): Case => ({
      kernel: "merge/combine-along",
      flags,
      slots: 3,
      // Rows of one value, or one row: as many vectors as values either way.
      bind: (n) => ({ weights: normals(6, 3 * n) }),
      params: (n, pitch) => ({ n, pitch, k: 3, start: 0, columns: flags.includes("rows") ? 1 : n, first: 1 }),
      wanted: (stack, i, { weights }) => {
        const origin = flags.includes("delta") ? stack[0]![i]! : 0;
        return origin + sum([1, 2].map((k) => weights![3 * i + k]! * Math.fround(stack[k]![i]! - origin)));
      },
    }),
  ),
  {
    kernel: "merge/sce",
    slots: 4,
    constants: { K: 3 },
    bind: () => ({ weights: Float32Array.from(SHARES!) }),
    params: (n, pitch) => ({ n4: n4(n), pitch, start: 0, low_bits: 0, low_index: 0 }),
    wanted: (stack, i) => {
      const all = deltas(stack, i).map((d, k) => ({ d, w: Math.fround(SHARES![k]!) }));
      const sign = Math.fround(Math.fround(all[0]!.d + all[1]!.d) + all[2]!.d) >= 0 ? 1 : -1;
      const agreeing = all.filter(({ d }) => sign * d > 0);
      const share = Math.max(sum(agreeing.map(({ w }) => w)), 1e-6);
      return stack[0]![i]! + sum(agreeing.map(({ d, w }) => w * d)) / share;
    },
  },
  {
    kernel: "merge/sce-variance",
    slots: 4,
    constants: { K: 3 },
    output: "variance",
    bind: (n) => ({ counts: new Uint32Array(Math.ceil(n4(n) / SPAN)) }),
    params: (n, pitch) => ({ n4: n4(n), pitch }),
    wanted: (stack, i) => {
      const d = deltas(stack, i);
      const mean = sum(d) / 3;
      return sum(d.map((x) => (x - mean) ** 2)) / 3;
    },
  },
  {
    kernel: "merge/doge",
    slots: 3,
    flags: ["corrected"],
    bind: (n) => ({ rows: Float32Array.of(0.5, 0.25, -0.3, 0.6), delta: padded(5, n) }),
    params: (n, pitch) => ({ n, pitch, k: 2, start: 0 }),
    wanted: (stack, i, { rows, delta }) => {
      const kept = deltas(stack, i).map((d, k) =>
        Math.abs(d) >= rows![2 * k + 1]! ? rows![2 * k]! * (d + delta![i]!) : 0,
      );
      return stack[0]![i]! + sum(kept);
    },
  },
];

covers(...new Set(CASES.map(({ kernel }) => kernel)));

/** Runs a case; gives what it writes and what it should have written. */
async function both(one: Case, n: number, dtype: OperandDtype) {
  const held = Array.from({ length: one.slots }, (_, k) => rounded(normals(n + k, n), dtype));
  using stack = stackOf(gpu, dtype, held);
  const more = one.bind?.(n) ?? {};
  const buffers = Object.entries(more).map(([name, data]) => [name, gpu.upload(data, name)] as const);
  using output = gpu.upload(new Uint8Array(16 * n4(n)).fill(0xff), "output");
  gpu.run(
    await gpu.kernel(one.kernel, { flags: [...inFlag(dtype), ...(one.flags ?? [])], constants: one.constants ?? {} }),
    {
      bind: {
        stack: stack.buffer,
        ...Object.fromEntries(buffers.map(([name, { buffer }]) => [name, buffer])),
        [one.output ?? "result"]: output.buffer,
      },
      params: one.params(n, stack.pitch),
      groups: spanGroups(n4(n)),
    },
  );
  const found = await gpu.readFloats(output.buffer, n);
  for (const [, buffer] of buffers) buffer.free();
  return { found, wanted: Float64Array.from({ length: n }, (_, i) => one.wanted(held, i, more)) };
}

describe.each(CASES.map((one) => ({ ...one, name: [one.kernel, ...(one.flags ?? [])].join(" ") })))("$name", (one) => {
  test.each(["F32", "BF16", "F16"] as const)("is its formula for inputs in %s", async (dtype) => {
    for (const n of dtype === "F32" ? SIZES.slice(0, -1) : [1, 255, 4097]) {
      const { found, wanted } = await both(one, n, dtype);
      // Some eight roundings of values of the order of 1; terms may cancel.
      expectWithin(found, wanted, (i) => 16 * EPSILON.F32 * (2 + Math.abs(wanted[i]!)), `${n} values:`);
    }
  });
});

test("task vectors end where the tensor ends: what follows in the whole one stays", async () => {
  using stack = stackOf(gpu, "F32", [normals(1, 5), normals(2, 5)]);
  using values = gpu.upload(new Uint32Array(8).fill(7), "values");
  gpu.run(await gpu.kernel("merge/task-vector"), {
    bind: { stack: stack.buffer, values: values.buffer },
    params: { n: 5, pitch: stack.pitch, slot: 1, start: 1 },
    groups: spanGroups(2),
  });
  const words = await gpu.readWords(values.buffer, 8);
  expect([words[0], words[6], words[7]]).toEqual([7, 7, 7]);
});
