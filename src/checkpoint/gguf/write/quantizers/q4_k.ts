/**
 * Q4_K and Q5_K: 256 values in eight runs of 32, w = d sc q - dmin m, sc and m of six bits. Every run is fitted by
 * itself, weights |w| + rms; then scales and minima are rounded in units of their largest, and codes follow from these.
 * With known activations weights are those of columns.ts, more scales are tried, and the units of scales and minima are
 * fitted too.
 */
import { squareSum, weigh } from "./columns.ts";
import { putHalf, type Quantizer } from "./quantizer.ts";
import { fit, fitRange, positiveScale, type RangeSearch } from "./search.ts";

const RUNS = 8;
const weights = new Float64Array(32);
const scales = new Float64Array(RUNS);
const leasts = new Float64Array(RUNS);
const sums = new Float64Array(RUNS);
/** Where activations are known. */
const KNOWN = { first: -0.9, steps: 36, apart: 0.05 } as const;
const codes = new Uint8Array(256);

/** Eight pairs of six bits in 12 bytes: the first four plain, the upper bits of the others above them. */
function putPairs(out: Uint8Array, at: number, pairs: readonly (readonly [number, number])[]): void {
  for (let run = 0; run < 4; run++) {
    const [[scale, least], [later, laterLeast]] = [pairs[run]!, pairs[run + 4]!];
    out[at + run] = scale | ((later >> 4) << 6);
    out[at + 4 + run] = least | ((laterLeast >> 4) << 6);
    out[at + 8 + run] = (later & 15) | ((laterLeast & 15) << 4);
  }
}

/** Fits the runs of a block into `scales` and `leasts`, the sums of their weights into `sums`. */
function fitRuns(values: Float32Array, from: number, search: RangeSearch, columns: Float32Array | undefined): void {
  const spread = columns ? (2 * squareSum(values, from, 256)) / 256 : 0;
  for (let run = 0; run < RUNS; run++) {
    const start = from + 32 * run;
    if (columns) sums[run] = weigh(values, start, weights, { columns, spread });
    else {
      const rms = Math.sqrt(squareSum(values, start, 32) / 32);
      for (let i = 0; i < 32; i++) weights[i] = rms + Math.abs(values[start + i]!);
    }
    fitRange(values, start, weights, columns ? { ...search, ...KNOWN } : search);
    scales[run] = fit.scale;
    leasts[run] = fit.least;
  }
}

function ranged(bits: 4 | 5, search: RangeSearch): Quantizer {
  const bytes = bits === 4 ? 144 : 176;
  return {
    weights: 256,
    bytes,
    quantize(values, count, out, columns) {
      for (let b = 0; b < count; b++) {
        const [from, at] = [256 * b, bytes * b];
        fitRuns(values, from, search, columns);
        // The largest of those that are rounded to 63 of a unit.
        const largest = (of: Float64Array) => (columns ? 63 * positiveScale(of, sums, 63) : Math.max(0, ...of));
        const [most, mostLeast] = [largest(scales), largest(leasts)];
        const unit = putHalf(out, at, most / 63);
        const unitLeast = putHalf(out, at + 2, mostLeast / 63);
        const round = (value: number, top: number) =>
          top > 0 ? Math.max(0, Math.min(63, Math.round((63 * value) / top))) : 0;
        const pairs = Array.from(
          { length: RUNS },
          (_, run) => [round(scales[run]!, most), round(leasts[run]!, mostLeast)] as const,
        );
        putPairs(out, at + 4, pairs);
        for (const [run, [scale, least]] of pairs.entries()) {
          const [factor, minus] = [unit * scale, unitLeast * least];
          for (let i = 32 * run; i < 32 * run + 32; i++) {
            const code = factor > 0 ? Math.round((values[from + i]! + minus) / factor) : 0;
            codes[i] = Math.max(0, Math.min(search.most, code));
          }
        }
        putCodes(out, at + 16, bits);
      }
    },
  };
}

/** Codes of a block from `at`: for Q5_K 32 bytes of fifth bits (bit r for run r), then nibbles of two runs each. */
function putCodes(out: Uint8Array, at: number, bits: 4 | 5): void {
  const nibbles = at + (bits === 5 ? 32 : 0);
  for (let i = 0; i < 32; i++) {
    let fifth = 0;
    for (let run = 0; run < RUNS; run++) fifth |= (codes[32 * run + i]! >> 4) << run;
    if (bits === 5) out[at + i] = fifth;
    for (let pair = 0; pair < 4; pair++) {
      out[nibbles + 32 * pair + i] = (codes[64 * pair + i]! & 15) | ((codes[64 * pair + 32 + i]! & 15) << 4);
    }
  }
}

export const q4_k = ranged(4, { most: 15, first: -1, steps: 20 });
export const q5_k = ranged(5, { most: 31, first: -0.5, steps: 15 });
