import { describe, expect, test } from "bun:test";
import { attention } from "../../../src/tensor/ops/attention.ts";
import { exactScore, type MapCase } from "../../support/attention.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers(
  "attention/forward",
  "attention/key-gradient",
  "attention/query-gradient",
  "attention/sink-gradient",
  "attention/softmax",
  "attention/softmax-gradient",
  "attention/uncap",
);

const gpu = await sharedGpu();

/** Attention in float64 with the whole matrix of probabilities. */
function reference(given: MapCase, q: Float64Array, k: Float64Array, v: Float64Array) {
  const { batch, t, heads, kvHeads, d, causal, window = 0, segments } = given;
  const y = new Float64Array(q.length);
  const [width, keyWidth] = [heads * d, kvHeads * d];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const kv = Math.floor(h / (heads / kvHeads)) * d;
      for (let i = 0; i < t; i++) {
        const scores: [number, number][] = [];
        for (let j = 0; j < t; j++) {
          if (causal && j > i) continue;
          if (window > 0 && j <= i - window) continue;
          if (segments && (segments[b * t + i] === 0 || segments[b * t + i] !== segments[b * t + j])) continue;
          let score = 0;
          for (let c = 0; c < d; c++)
            score += q[(b * t + i) * width + h * d + c]! * k[(b * t + j) * keyWidth + kv + c]!;
          scores.push([j, exactScore(given, score)]);
        }
        const most = scores.reduce((a, [, s]) => Math.max(a, s), Number.NEGATIVE_INFINITY);
        const total = scores.reduce((a, [, s]) => a + Math.exp(s - most), 0);
        for (const [j, s] of scores) {
          for (let c = 0; c < d; c++) {
            y[(b * t + i) * width + h * d + c]! += (Math.exp(s - most) / total) * v[(b * t + j) * keyWidth + kv + c]!;
          }
        }
      }
    }
  }
  return y;
}

const cases: Record<string, MapCase> = {
  "one token": { batch: 1, t: 1, heads: 1, kvHeads: 1, d: 8, causal: true },
  "three tokens, odd heads": { batch: 2, t: 3, heads: 3, kvHeads: 1, d: 5, causal: true },
  "grouped keys": { batch: 2, t: 17, heads: 4, kvHeads: 2, d: 8, causal: true },
  "more than a workgroup": { batch: 1, t: 67, heads: 2, kvHeads: 2, d: 12, causal: true },
  full: { batch: 1, t: 70, heads: 2, kvHeads: 1, d: 16, causal: false },
  "heads of 32": { batch: 1, t: 20, heads: 1, kvHeads: 1, d: 32, causal: true },
  "heads of 64": { batch: 1, t: 9, heads: 1, kvHeads: 1, d: 64, causal: true },
  "heads of 80": { batch: 1, t: 9, heads: 1, kvHeads: 1, d: 80, causal: true },
  "heads of 257": { batch: 1, t: 7, heads: 2, kvHeads: 1, d: 257, causal: true, window: 4 },
  "heads of 320, packed": {
    ...{ batch: 1, t: 8, heads: 2, kvHeads: 2, d: 320, causal: true, cap: 3 },
    segments: Int32Array.of(1, 1, 1, 2, 2, 2, 2, 0),
  },
  "heads of 330": { batch: 1, t: 5, heads: 1, kvHeads: 1, d: 330, causal: false },
  "heads of 512": { batch: 2, t: 9, heads: 2, kvHeads: 1, d: 512, causal: true },
  "a window": { batch: 1, t: 40, heads: 2, kvHeads: 1, d: 4, causal: true, window: 7 },
  "capped scores": { batch: 2, t: 19, heads: 4, kvHeads: 2, d: 6, causal: true, cap: 0.7, scale: 0.9 },
  "capped scores of 80, a window": { batch: 1, t: 11, heads: 2, kvHeads: 1, d: 80, causal: true, window: 3, cap: 2 },
  "capped, packed": {
    ...{ batch: 1, t: 9, heads: 3, kvHeads: 1, d: 5, causal: true, cap: 1.5, scale: 1 },
    segments: Int32Array.of(1, 1, 1, 1, 2, 2, 2, 0, 0),
  },
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

const FORMS = [
  ["as a matrix", undefined],
  ["in tiles", hardware],
] as const;

describe.each(Object.keys(cases))("%s", (name) => {
  test.each(FORMS)("%s, agrees with float64, forward and back", async (form, profile) => {
    // Half a minute of a software driver's compiler, which unrolls 64; wide heads are one kernel but for their widths.
    if (form === "in tiles" && [64, 320, 330].includes(cases[name]!.d)) return;
    const given = cases[name]!;
    const { batch, t, heads, kvHeads, d, causal, window, segments, scale, cap } = given;
    const rows = batch * t;
    const kv = { shape: [rows, kvHeads * d] };
    await checkOp(gpu, "attention", {
      inputs: {
        q: { shape: [rows, heads * d], data: normals(1, rows * heads * d) },
        k: { ...kv, data: normals(2, rows * kvHeads * d) },
        v: { ...kv, data: normals(3, rows * kvHeads * d) },
        ...(segments ? { segments: { shape: [batch, t], data: segments, dtype: "i32" } as const } : {}),
      },
      build: (rec, { q, k, v, segments }) =>
        attention(rec, q!, k!, v!, {
          batch,
          heads,
          kvHeads,
          headDim: d,
          causal,
          ...(window ? { window } : {}),
          ...(scale ? { scale } : {}),
          ...(cap ? { cap } : {}),
          ...(segments ? { segments } : {}),
        }),
      reference: ({ q, k, v }) => reference(given, q!, k!, v!),
      entries: 12,
      step: 1e-3,
      ...(profile ? { profile } : {}),
    });
  });
});

describe("sinks", () => {
  const given: MapCase = { batch: 2, t: 9, heads: 4, kvHeads: 2, d: 5, causal: true, window: 4 };
  const { batch, t, heads, kvHeads, d } = given;
  const [rows, width, keyWidth] = [batch * t, heads * d, kvHeads * d];
  const inputs = {
    q: { shape: [rows, width], data: normals(1, rows * width) },
    k: { shape: [rows, keyWidth], data: normals(2, rows * keyWidth) },
    v: { shape: [rows, keyWidth], data: normals(3, rows * keyWidth) },
    sinks: { shape: [heads], data: Float32Array.of(-1, 0, 2, 9) },
  };
  const options = { batch, heads, kvHeads, headDim: d, causal: true, window: 4 };

  test.each(FORMS)("%s, take their share of the softmax, with gradients", async (_, profile) => {
    await checkOp(gpu, "sinks", {
      ...(profile ? { profile } : {}),
      inputs,
      build: (rec, { q, k, v, sinks }) => attention(rec, q!, k!, v!, { ...options, sinks: sinks! }),
      // A sink is a key of its own whose value is 0.
      reference: ({ q, k, v, sinks }) => {
        const plain = reference(given, q!, k!, v!);
        return plain.map((y, at) => {
          const [row, head] = [Math.floor(at / width), Math.floor((at % width) / d)];
          const [b, i] = [Math.floor(row / t), row % t];
          let sum = 0;
          for (let j = Math.max(0, i - 3); j <= i; j++) {
            let product = 0;
            const group = Math.floor((head * kvHeads) / heads);
            for (let c = 0; c < d; c++)
              product += q![row * width + head * d + c]! * k![(b * t + j) * keyWidth + group * d + c]!;
            sum += Math.exp(exactScore(given, product));
          }
          return (y * sum) / (sum + Math.exp(sinks![head]!));
        });
      },
    });
  });

  test.each(FORMS)("%s, leave rows of padding at 0, without a gradient", async (_, profile) => {
    const segments = Int32Array.from({ length: rows }, (_, i) => (i % t < 6 ? 1 : 0));
    const { outputs, gradients } = await runOp(gpu, {
      ...(profile ? { profile } : {}),
      inputs: {
        ...Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, { ...input, grad: true }])),
        segments: { shape: [batch, t], data: segments, dtype: "i32" },
      },
      build: (rec, { q, k, v, sinks, segments }) =>
        attention(rec, q!, k!, v!, { ...options, sinks: sinks!, segments: segments! }),
      seeds: { y: normals(4, rows * width) },
    });
    expect(outputs.y!.slice(6 * width, 9 * width).every((y) => y === 0)).toBe(true);
    expect(gradients.q!.slice(6 * width, 9 * width).every((g) => g === 0)).toBe(true);
    expect(gradients.sinks!.every((g) => Number.isFinite(g) && g !== 0)).toBe(true);
  });
});

test("scores of ten thousand stay finite", async () => {
  const big = normals(1, 10 * 4).map((x) => 1000 * x);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      q: { shape: [10, 4], data: big, grad: true },
      k: { shape: [10, 4], data: big, grad: true },
      v: { shape: [10, 4], data: normals(2, 40), grad: true },
    },
    build: (rec, { q, k, v }) =>
      attention(rec, q!, k!, v!, { batch: 1, heads: 1, kvHeads: 1, headDim: 4, causal: true }),
    seeds: { y: normals(3, 40) },
  });
  for (const values of [outputs.y!, gradients.q!, gradients.k!, gradients.v!])
    expect(values.every(Number.isFinite)).toBe(true);
});
