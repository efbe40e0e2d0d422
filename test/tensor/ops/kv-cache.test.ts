import { expect, test } from "bun:test";
import { attention } from "../../../src/tensor/ops/attention.ts";
import { attentionCached, cacheWrite } from "../../../src/tensor/ops/kv-cache.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("attention/cache-write");

const gpu = await sharedGpu();

test.each([
  ["plain", {}],
  ["with a window, a scale and a cap", { window: 3, scale: 0.8, cap: 1.2 }],
  ["with sinks", { window: 3, hasSinks: true }],
  ["heads of 257", { d: 257, window: 3 }],
  ["heads of 512", { d: 512 }],
] as const)("attention over a cache is attention over the tokens that were written to it, %s", async (_, given) => {
  const { hasSinks, d, ...more } = { hasSinks: false, d: 8, ...given };
  const [batch, t, heads, kvHeads, capacity] = [2, 5, 4, 2, 9];
  const shape = { heads, kvHeads, headDim: d, ...more };
  const memory = [
    gpu.buffer(4 * batch * capacity * kvHeads * d, "keys"),
    gpu.buffer(4 * batch * capacity * kvHeads * d, "values"),
  ];
  const rows = batch * t;
  const { outputs } = await runOp(gpu, {
    training: false,
    profile: hardware, // where both are the same kernel
    inputs: {
      q: { shape: [rows, heads * d], data: normals(1, rows * heads * d) },
      k: { shape: [rows, kvHeads * d], data: normals(2, rows * kvHeads * d) },
      v: { shape: [rows, kvHeads * d], data: normals(3, rows * kvHeads * d) },
      sinks: { shape: [heads], data: normals(4, heads) },
      positions: { shape: [rows], data: Int32Array.from({ length: rows }, (_, i) => i % t), dtype: "i32" },
    },
    build: (rec, { q, k, v, positions, sinks }) => {
      const all = { ...shape, ...(hasSinks ? { sinks: sinks! } : {}) };
      const [keys, values] = memory.map(({ buffer }, i) =>
        rec.state(`cache ${i}`, [batch, capacity, kvHeads * d], buffer),
      );
      cacheWrite(rec, k!, keys!, positions!, { batch, capacity });
      cacheWrite(rec, v!, values!, positions!, { batch, capacity });
      return {
        cached: attentionCached(rec, q!, keys!, values!, positions!, { batch, capacity, ...all }),
        whole: attention(rec, q!, k!, v!, { batch, causal: true, ...all }),
      };
    },
  });
  for (const buffer of memory) buffer.free();
  expect(outputs.cached).toEqual(outputs.whole!);
});
