import { describe, expect, test } from "bun:test";
import { attentionMap, attentionPeaks, headMean } from "../../../src/tensor/ops/attention-map.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { exactMaps, exactMean, type MapCase } from "../../support/attention.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();

const cases: Record<string, MapCase> = {
  "one token": { batch: 2, t: 1, heads: 2, kvHeads: 1, d: 8, causal: true },
  "three tokens, odd heads": { batch: 2, t: 3, heads: 3, kvHeads: 1, d: 5, causal: true },
  "grouped keys": { batch: 2, t: 17, heads: 4, kvHeads: 2, d: 8, causal: true },
  "33 tokens": { batch: 1, t: 33, heads: 3, kvHeads: 3, d: 12, causal: true },
  full: { batch: 2, t: 17, heads: 2, kvHeads: 1, d: 6, causal: false },
  "more than a workgroup, a window": { batch: 1, t: 67, heads: 2, kvHeads: 1, d: 4, causal: true, window: 7 },
  capped: { batch: 2, t: 9, heads: 2, kvHeads: 1, d: 6, causal: true, cap: 0.8, scale: 0.7 },
  "packed documents and padding": {
    batch: 2,
    t: 12,
    heads: 2,
    kvHeads: 1,
    d: 4,
    causal: true,
    segments: Int32Array.of(1, 1, 1, 2, 2, 2, 2, 2, 3, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2),
  },
};

const inputsOf = ({ batch, t, heads, kvHeads, d, segments }: MapCase, spread = 1) => ({
  q: { shape: [batch * t, heads * d], data: normals(1, batch * t * heads * d, spread) },
  k: { shape: [batch * t, kvHeads * d], data: normals(2, batch * t * kvHeads * d, spread) },
  ...(segments ? { segments: { shape: [batch, t], data: segments, dtype: "i32" } as const } : {}),
});
const optionsOf = ({ batch, heads, kvHeads, d, causal, window, scale, cap }: MapCase) => ({
  batch,
  heads,
  kvHeads,
  headDim: d,
  causal,
  ...(window ? { window } : {}),
  ...(scale ? { scale } : {}),
  ...(cap ? { cap } : {}),
});

describe.each(Object.keys(cases))("%s", (name) => {
  const given = cases[name]!;

  test.each([
    ["as on this device", undefined],
    ["as on a real GPU", hardware],
  ])("the map agrees with float64, forward and back, %s", (_, profile) =>
    checkOp(gpu, "attention map", {
      inputs: inputsOf(given),
      build: (rec, { q, k, segments }) =>
        attentionMap(rec, q!, k!, { ...optionsOf(given), ...(segments ? { segments } : {}) }),
      reference: ({ q, k }) => exactMaps(given, q!, k!),
      entries: 12,
      ...(profile ? { profile } : {}),
    }),
  );

  test("so does its mean over heads", () =>
    checkOp(gpu, "mean over heads", {
      inputs: inputsOf(given),
      build: (rec, { q, k, segments }) =>
        headMean(rec, attentionMap(rec, q!, k!, { ...optionsOf(given), ...(segments ? { segments } : {}) })),
      reference: ({ q, k }) => exactMean(exactMaps(given, q!, k!), given.batch, given.heads),
      entries: 12,
    }));
});

test("what a query may not see is 0, and what it sees sums to 1", async () => {
  const given = cases["packed documents and padding"]!;
  const { outputs } = await runOp(gpu, {
    inputs: inputsOf(given, 3),
    build: (rec, { q, k, segments }) => attentionMap(rec, q!, k!, { ...optionsOf(given), segments: segments! }),
  });
  const { t, heads, segments } = given;
  for (let row = 0; row < 2 * heads * t; row++) {
    const [b, query] = [Math.floor(row / (heads * t)), row % t];
    const map = outputs.y!.subarray(row * t, (row + 1) * t);
    const own = segments![b * t + query]!;
    for (const [key, p] of map.entries())
      if (key > query || own === 0 || segments![b * t + key] !== own) expect(p).toBe(0);
      else expect(p).toBeGreaterThan(0);
    expect(Math.abs(map.reduce((a, x) => a + x, 0) - (own === 0 ? 0 : 1))).toBeLessThan(1e-6);
  }
});

test("scores of ten thousand stay finite", async () => {
  const given: MapCase = { batch: 1, t: 10, heads: 1, kvHeads: 1, d: 4, causal: true };
  const { q, k } = inputsOf(given, 1000);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { q: { ...q, grad: true }, k: { ...k, grad: true } },
    build: (rec, { q, k }) => attentionMap(rec, q!, k!, optionsOf(given)),
    seeds: { y: normals(3, 100) },
  });
  for (const values of [outputs.y!, gradients.q!, gradients.k!]) expect(values.every(Number.isFinite)).toBe(true);
});

test("heads that do not fit are named", () => {
  const rec = new Recorder({ subgroupSize: 0, software: true });
  const [q, k] = [rec.input("q", [6, 8]), rec.input("k", [6, 4])];
  const fit = { batch: 2, heads: 2, kvHeads: 1, headDim: 4, causal: true };
  expect(attentionMap(rec, q, k, fit).shape).toEqual([2, 2, 3, 3]);
  for (const wrong of [{ heads: 4 }, { kvHeads: 2 }, { headDim: 8 }, { batch: 4 }])
    expect(() => attentionMap(rec, q, k, { ...fit, ...wrong })).toThrow("attention map: q (6, 8), k (6, 4) for");
});

test.each(Object.keys(cases))("peaks are the largest scores: %s", async (name) => {
  const given = cases[name]!;
  const inputs = inputsOf(given, 3);
  const { outputs } = await runOp(gpu, {
    inputs,
    build: (rec, { q, k, segments }) =>
      attentionPeaks(rec, q!, k!, { ...optionsOf(given), ...(segments ? { segments } : {}) }),
  });
  const { batch, t, heads, kvHeads, d, scale = 1 / Math.sqrt(d), cap, window, causal, segments } = given;
  const [q, k] = [inputs.q.data, inputs.k.data];
  for (let row = 0; row < batch; row++)
    for (let head = 0; head < heads; head++)
      for (let i = 0; i < t; i++) {
        const of = (at: number) => segments?.[row * t + at] ?? 1;
        if (of(i) === 0) continue; // padding sees nothing
        let most = Number.NEGATIVE_INFINITY;
        for (let j = 0; j < t; j++) {
          if ((causal && j > i) || (window && j <= i - window) || of(j) !== of(i)) continue;
          const kv = Math.floor((head * kvHeads) / heads);
          let score = 0;
          for (let x = 0; x < d; x++)
            score += q[((row * t + i) * heads + head) * d + x]! * k[((row * t + j) * kvHeads + kv) * d + x]!;
          const scaled = score * scale;
          most = Math.max(most, cap ? cap * Math.tanh(scaled / cap) : scaled);
        }
        const found = outputs.y![(row * heads + head) * t + i]!;
        expect(Math.abs(found - most)).toBeLessThan(1e-4 * Math.max(1, Math.abs(most)));
      }
});
