import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { clipRanks, method as pcb } from "../../../../src/merge/methods/task-vectors/pcb.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { mergeArrays, mergeOne } from "../../merge-arrays.ts";

covers("merge/pcb", "merge/pcb-histogram");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

interface Given {
  readonly ratio: number;
  readonly clip: number;
  readonly inter: "pairwise" | "sum";
}

/** The steps of the paper on flattened rows, in f64. Returns the merged task vector and the scores. */
function reference(rows: readonly Float64Array[], { ratio, clip, inter }: Given) {
  const size = rows[0]!.length;
  const k = rows.length;
  const clipped = rows.map((row) => {
    const sorted = row.map(Math.abs).sort();
    const [low, high] = clipRanks(size, clip).map((rank) => sorted[rank]!) as [number, number];
    return { low, high, a: row.map((x) => Math.min(high, Math.max(low, Math.abs(x)))) };
  });
  const share = clipped.map(({ a, low, high }) => a.map((x) => (high > low ? (x - low) / (high - low) : 0)));
  const signed = share.map((n, r) => n.map((x, i) => Math.sign(rows[r]![i]!) * x));
  const scores = rows.map((row, r) => {
    const score = row.map((x, i) => {
      const agreement =
        inter === "pairwise"
          ? signed.reduce((sum, other) => sum + Math.tanh(signed[r]![i]! * other[i]!), 0)
          : Math.tanh(x * rows.reduce((sum, other) => sum + other[i]!, 0));
      return Math.exp(k * share[r]![i]! ** 2) * agreement;
    });
    const sorted = score.slice().sort();
    const cut = sorted[Math.min(Math.floor(size * (1 - ratio)), size - 1)]!;
    const most = sorted.at(-1)!;
    return score.map((x) => (most > cut ? (Math.max(x, cut) - cut) / (most - cut) : 0));
  });
  const merged = new Float64Array(size).map((_, i) => {
    const total = scores.reduce((sum, s) => sum + s[i]!, 0);
    const moved = scores.reduce((sum, s, r) => sum + Math.sign(rows[r]![i]!) * clipped[r]!.a[i]! * s[i]!, 0);
    return moved / Math.max(total, 1e-12);
  });
  return { merged, scores };
}

const base = (size: number) => Float32Array.from(randomArray(size, normal(1)));
/** Task vectors on a grid that f32 holds exactly together with the base of zeros. */
const deltas = (size: number, k: number, seed = 2, scale = 0.02) =>
  Array.from({ length: k }, (_, r) => randomArray(size, normal(seed + r), scale).map(Math.fround));

/** Entries that differ by more than rounding; scores at the cut may fall on either side of it. */
function off(found: ArrayLike<number>, wanted: ArrayLike<number>, scale: number): number {
  return Array.from(found).filter((x, i) => Math.abs(x - wanted[i]!) > 1e-3 * scale).length;
}

describe("pcb", () => {
  test("is the paper's steps for both measures of agreement and both scopes", async () => {
    for (const inter of ["pairwise", "sum"] as const) {
      for (const scope of ["tensor", "global"]) {
        for (const [shape, k] of [
          [[5, 51], 2],
          [[1021], 3],
          [[1], 2],
          [[3], 3],
        ] as const) {
          const size = shape.reduce((a: number, b: number) => a * b, 1);
          const rows = deltas(size, k);
          const given = { ratio: 0.2, clip: 0.01, inter };
          const tensor = { shape, base: new Float64Array(size), models: rows };
          const options = { values: { ...given, scope } };
          const found = await mergeOne(gpu, pcb, tensor, options);
          expect(off(found, reference(rows, given).merged, 0.02)).toBeLessThanOrEqual(1);
          expect(await mergeOne(gpu, pcb, tensor, { ...options, chunkValues: 110 })).toEqual(found);
        }
      }
    }
  });

  test("scope global ranks values over all tensors together", async () => {
    const [small, large] = [deltas(300, 2, 5, 0.001), deltas(255, 2, 9, 0.1)];
    const together = small.map((row, r) => Float64Array.from([...row, ...large[r]!]));
    const given = { ratio: 0.1, clip: 1e-4, inter: "pairwise" } as const;
    const { merged } = reference(together, given);
    const tensors = [
      { name: "small", shape: [300], base: new Float64Array(300), models: small },
      { name: "large", shape: [5, 51], base: new Float64Array(255), models: large },
    ];
    const { values } = await mergeArrays(gpu, pcb, tensors);
    const found = [...values.get("small")!, ...values.get("large")!];
    expect(off(found, merged, 0.1)).toBeLessThanOrEqual(1);
    expect(values.get("small")!.every((x) => x === 0)).toBe(true);
    const each = await mergeArrays(gpu, pcb, tensors, { values: { scope: "tensor" } });
    expect(each.values.get("small")!.some((x) => x !== 0)).toBe(true);
  });

  test("equal experts give the clipped task vector where it is kept, the base elsewhere", async () => {
    const [row] = deltas(1000, 1);
    const origin = base(1000);
    const tuned = Float32Array.from(row!, (x, i) => origin[i]! + x);
    const found = await mergeOne(gpu, pcb, { shape: [1000], base: origin, models: [tuned, tuned, tuned] });
    let kept = 0;
    for (const [i, value] of found.entries()) {
      if (value === origin[i]) continue;
      kept++;
      expect(value).toBeCloseTo(tuned[i]!, 2);
    }
    // Of the 100 scores in the top tenth the least is the cut itself, and the clipped ones share the largest.
    expect(kept).toBe(99);
  });

  test("scaling all task vectors together scales the result under pairwise", async () => {
    const rows = deltas(1000, 3);
    const zero = new Float64Array(1000);
    const one = await mergeOne(gpu, pcb, { shape: [1000], base: zero, models: rows });
    const models = rows.map((row) => row.map((x) => 1024 * x));
    const scaled = await mergeOne(gpu, pcb, { shape: [1000], base: zero, models });
    expect(
      off(
        scaled.map((x) => x / 1024),
        one,
        0.02,
      ),
    ).toBeLessThanOrEqual(1);
  });

  test("lambda scales the model's share, and many models do not overflow", async () => {
    const rows = deltas(500, 2);
    const tensor = { shape: [500], base: new Float64Array(500), models: rows };
    const one = await mergeOne(gpu, pcb, tensor);
    const half = await mergeOne(gpu, pcb, tensor, { perModel: [{ lambda: 0.5 }] });
    for (const [i, value] of half.entries()) expect(value).toBeCloseTo(one[i]! / 2, 6);
    const many = await mergeOne(gpu, pcb, { ...tensor, models: deltas(500, 100) });
    expect(many.every(Number.isFinite)).toBe(true);
    expect(many.some((x) => x !== 0)).toBe(true);
  });

  test("reads 16-bit inputs and writes 16-bit outputs", async () => {
    const rows = deltas(257, 2).map((row) => row.map((x) => Math.round(x * 1024) / 1024));
    const tensor = { shape: [257], base: new Float64Array(257), models: rows };
    const wide = await mergeOne(gpu, pcb, tensor);
    const narrow = await mergeOne(gpu, pcb, tensor, { inDtype: "BF16", outDtype: "BF16" });
    for (const [i, value] of narrow.entries()) {
      expect(Math.abs(value - wide[i]!)).toBeLessThanOrEqual(2 ** -8 * Math.abs(wide[i]!) + 1e-9);
    }
  });

  test("models that agree nowhere and constant rows keep the base", async () => {
    const origin = base(64);
    const flat = origin.map((x) => x + 0.5);
    const found = await mergeOne(gpu, pcb, { shape: [64], base: origin, models: [origin, origin] });
    expect(found).toEqual(origin);
    const merged = await mergeOne(gpu, pcb, { shape: [64], base: new Float64Array(64), models: [flat.fill(0.5)] });
    expect(merged.every((x) => x === 0)).toBe(true);
  });
});
