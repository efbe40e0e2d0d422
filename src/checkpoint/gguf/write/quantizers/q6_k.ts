/**
 * Q6_K: 256 values in sixteen runs of 16, w = d sc (q - 32), sc a signed byte, six bits of a code in two places. Errors
 * count by the square of the value, or by the squared activation of the column where that is known.
 */
import { squareSum } from "./columns.ts";
import { putHalf, type Quantizer } from "./quantizer.ts";
import { extremeOf, symmetricScale } from "./search.ts";

const RUNS = 16;
const scales = new Float32Array(RUNS);
const weights = new Float64Array(16);

export const q6_k: Quantizer = {
  weights: 256,
  bytes: 210,
  quantize(values, count, out, columns) {
    for (let b = 0; b < count; b++) {
      const [from, at] = [256 * b, 210 * b];
      for (let run = 0; run < RUNS; run++) {
        const known = columns?.subarray((from + 16 * run) % columns.length).subarray(0, 16);
        if (known) weights.set(known);
        const weighed = known && squareSum(known, 0, 16) > 0 ? weights : undefined;
        scales[run] = symmetricScale(values, from + 16 * run, 16, 32, weighed);
      }
      const extreme = extremeOf(scales, 0, RUNS);
      const unit = putHalf(out, at + 208, extreme / -128);
      out.fill(0, at, at + 208);
      for (let run = 0; run < RUNS; run++) {
        const scale = extreme === 0 ? 0 : Math.min(127, Math.round((-128 / extreme) * scales[run]!));
        out[at + 192 + run] = scale;
        const factor = unit * scale;
        const part = (run >> 1) & 3; // which 32 of the 128
        const low = at + 64 * (run >> 3) + 32 * (part & 1) + 16 * (run & 1);
        const high = at + 128 + 32 * (run >> 3) + 16 * (run & 1);
        for (let i = 0; i < 16; i++) {
          const code = factor === 0 ? 0 : Math.round(values[from + 16 * run + i]! / factor);
          const stored = Math.max(-32, Math.min(31, code)) + 32;
          out[low + i]! |= (stored & 15) << (4 * (part >> 1));
          out[high + i]! |= (stored >> 4) << (2 * part);
        }
      }
    }
  },
};
