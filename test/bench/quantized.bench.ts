/**
 * Speed of the decoders, as bytes of f32 that come out per second, beside reading plain BF16 and converting it.
 *
 *   bun test/bench/quantized.bench.ts          64 MB of codes each, warm cache
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bench, run } from "mitata";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { open } from "../../src/checkpoint/open.ts";
import { table } from "../../src/text/table.ts";
import { BENCH_LAYOUTS, writeQuantized } from "./quantized-models.ts";

const [ROWS, COLUMNS] = [4096, 4096];
/** Bytes that a script asks for at a time. */
const PIECE = 16 << 20;

const folder = mkdtempSync(join(tmpdir(), "ingot-quantized-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const weights = new Map<string, number>();
for (const layout of Object.keys(BENCH_LAYOUTS)) {
  weights.set(layout, writeQuantized(join(folder, layout), layout, 1, ROWS, COLUMNS));
  const model = await open(join(folder, layout));
  const entries = [...model.tensors.values()];
  bench(layout, async () => {
    for (const entry of entries) {
      for (let at = 0; at < entry.bytes; at += PIECE) {
        const bytes = new Uint8Array(Math.min(PIECE, entry.bytes - at));
        await entry.read(bytes, at);
        if (entry.dtype !== "F32") decodeFloats(bytes, entry.dtype);
      }
    }
  });
}

const { benchmarks } = await run({ format: "quiet" });
const rows = benchmarks.map(({ alias, runs }) => {
  const nanoseconds = runs[0]!.stats!.p50;
  const values = weights.get(alias)!;
  return [
    alias,
    (nanoseconds / 1e6).toFixed(1),
    ((4 * values) / nanoseconds).toFixed(2),
    ((1000 * values) / nanoseconds).toFixed(0),
  ];
});
console.log(table([["layout", "ms", "GB/s of f32", "million weights/s"], ...rows], { align: "lrrr" }));
