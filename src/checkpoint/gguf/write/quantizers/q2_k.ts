/**
 * Q2_K: 256 values in sixteen runs of 16, w = d sc q - dmin m, sc and m of four bits. Every run is fitted by itself,
 * errors by magnitude weighted by |w|. With known activations errors are squared and weighted as in columns.ts, more
 * scales are tried, and the units of scales and minima are fitted too.
 */
import { squareSum, weigh } from "./columns.ts";
import { putHalf, type Quantizer } from "./quantizer.ts";
import { fit, fitRange, positiveScale } from "./search.ts";

const RUNS = 16;
const SEARCH = { most: 3, first: -0.5, steps: 15, absolute: true } as const;
const KNOWN = { most: 3, first: -0.9, steps: 36, apart: 0.05 } as const;
const weights = new Float64Array(16);
const sums = new Float64Array(RUNS);
const scales = new Float64Array(RUNS);
const leasts = new Float64Array(RUNS);

/** Fits the runs of a block into `scales` and `leasts`, the sums of their weights into `sums`. */
function fitRuns(values: Float32Array, from: number, columns: Float32Array | undefined): void {
  const spread = columns ? squareSum(values, from, 256) / 256 : 0;
  for (let run = 0; run < RUNS; run++) {
    const start = from + 16 * run;
    if (columns) sums[run] = weigh(values, start, weights, { columns, spread });
    else for (let i = 0; i < 16; i++) weights[i] = Math.abs(values[start + i]!);
    fitRange(values, start, weights, columns ? KNOWN : SEARCH);
    scales[run] = fit.scale;
    leasts[run] = fit.least;
  }
}

export const q2_k: Quantizer = {
  weights: 256,
  bytes: 84,
  quantize(values, count, out, columns) {
    for (let b = 0; b < count; b++) {
      const [from, at] = [256 * b, 84 * b];
      fitRuns(values, from, columns);
      // The largest of those that are rounded to 15 of a unit.
      const largest = (of: Float64Array) => (columns ? 15 * positiveScale(of, sums, 15) : Math.max(0, ...of));
      const [most, mostLeast] = [largest(scales), largest(leasts)];
      const unit = putHalf(out, at + 80, most / 15);
      const unitLeast = putHalf(out, at + 82, mostLeast / 15);
      out.fill(0, at + 16, at + 80);
      for (let run = 0; run < RUNS; run++) {
        const scale = most > 0 ? Math.max(0, Math.min(15, Math.round((15 * scales[run]!) / most))) : 0;
        const least = mostLeast > 0 ? Math.max(0, Math.min(15, Math.round((15 * leasts[run]!) / mostLeast))) : 0;
        out[at + run] = scale | (least << 4);
        const [factor, minus] = [unit * scale, unitLeast * least];
        const place = at + 16 + 32 * (run >> 3) + 16 * (run & 1);
        const shift = 2 * ((run >> 1) & 3);
        for (let i = 0; i < 16; i++) {
          const code = factor > 0 ? Math.round((values[from + 16 * run + i]! + minus) / factor) : 0;
          out[place + i]! |= Math.max(0, Math.min(3, code)) << shift;
        }
      }
    }
  },
};
