/**
 * Q3_K: 256 values in sixteen runs of 16, w = d sc (q - 4), sc of six bits less 32, three bits of a code in two places.
 * With known activations (columns.ts) scales are searched with their weights, and the unit of the scales too.
 */
import { squareSum, weigh } from "./columns.ts";
import { putHalf, type Quantizer } from "./quantizer.ts";
import { descendedScale, extremeOf, symmetricScale } from "./search.ts";

const RUNS = 16;
const scales = new Float32Array(RUNS);
const weights = new Float64Array(16);
const sums = new Float64Array(RUNS);

/** Sets `scales` of a block, and gives the unit in which they are rounded. */
function fitRuns(values: Float32Array, from: number, columns: Float32Array | undefined): number {
  if (columns === undefined) {
    for (let run = 0; run < RUNS; run++) scales[run] = descendedScale(values, from + 16 * run, 16, 4);
    return extremeOf(scales, 0, RUNS) / -32;
  }
  const spread = (2 * squareSum(values, from, 256)) / 256;
  for (let run = 0; run < RUNS; run++) {
    sums[run] = weigh(values, from + 16 * run, weights, { columns, spread });
    scales[run] = symmetricScale(values, from + 16 * run, 16, 4, weights);
  }
  return symmetricScale(scales, 0, RUNS, 32, sums);
}

export const q3_k: Quantizer = {
  weights: 256,
  bytes: 110,
  quantize(values, count, out, columns) {
    for (let b = 0; b < count; b++) {
      const [from, at] = [256 * b, 110 * b];
      const exact = fitRuns(values, from, columns);
      const extreme = -32 * exact;
      const unit = putHalf(out, at + 108, exact);
      out.fill(0, at, at + 108);
      for (let run = 0; run < RUNS; run++) {
        const scale = extreme === 0 ? 0 : Math.max(-32, Math.min(31, Math.round((-32 / extreme) * scales[run]!)));
        putScale(out, at + 96, run, scale + 32);
        const factor = unit * scale;
        const place = at + 32 + 32 * (run >> 3) + 16 * (run & 1);
        const shift = 2 * ((run >> 1) & 3);
        for (let i = 0; i < 16; i++) {
          const code = factor === 0 ? 0 : Math.round(values[from + 16 * run + i]! / factor);
          const stored = Math.max(-4, Math.min(3, code)) + 4;
          out[place + i]! |= (stored & 3) << shift;
          out[at + 16 * (run & 1) + i]! |= (stored >> 2) << (run >> 1);
        }
      }
    }
  },
};

/** Four low bits in 8 bytes (runs 0 to 7 low nibbles, 8 to 15 high), two high bits in 4 bytes. */
function putScale(out: Uint8Array, at: number, run: number, scale: number): void {
  out[at + (run & 7)]! |= (scale & 15) << (run < 8 ? 0 : 4);
  out[at + 8 + (run & 3)]! |= (scale >> 4) << (2 * (run >> 2));
}
