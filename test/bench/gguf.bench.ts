/**
 * GB/s of the decoders of GGUF blocks beside the conversion of plain bf16, on one core of the host, by mitata.
 *
 *   bun test/bench/gguf.bench.ts
 *
 * Each iteration decodes a million values that are in memory. GB/s count the f32 that come out, so that layouts of
 * different sizes compare.
 */
import { bench, run, summary } from "mitata";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { GGUF_TYPES } from "../../src/checkpoint/gguf/types.ts";
import { table } from "../../src/text/table.ts";

const VALUES = 1 << 20;

/** Codes of all kinds; scales are whatever comes out, finite or not, which takes the same time. */
const noise = (bytes: number) => {
  const all = new Uint8Array(bytes);
  let state = 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    all[i] = state >>> 24;
  }
  return all;
};

const values = new Float32Array(VALUES);
summary(() => {
  const plain = noise(2 * VALUES);
  bench("BF16", () => void decodeFloats(plain, "BF16")).baseline(true);
  for (const { name, blocks } of Object.values(GGUF_TYPES)) {
    if (blocks === undefined) continue;
    const count = VALUES / blocks.weights;
    const stored = noise(count * blocks.bytes);
    bench(name, () => blocks.decode(stored, count, values));
  }
});

const { benchmarks } = await run();
const rows = benchmarks.flatMap(({ alias, runs }) => {
  const stats = runs[0]?.stats;
  return stats === undefined ? [] : [[alias, ((4 * VALUES) / stats.p50).toFixed(2)]];
});
console.log(table([["layout", "GB/s of f32"], ...rows]));
