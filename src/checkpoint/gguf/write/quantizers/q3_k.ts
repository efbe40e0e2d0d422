/**
 * Q3_K: 256 values in sixteen runs of 16, w = d sc (q - 4), sc of six bits less 32, three bits of a code in two places.
 */
import { putHalf, type Quantizer } from "./quantizer.ts";
import { descendedScale, extremeOf } from "./search.ts";

const RUNS = 16;
const scales = new Float32Array(RUNS);

export const q3_k: Quantizer = {
  weights: 256,
  bytes: 110,
  quantize(values, count, out) {
    for (let b = 0; b < count; b++) {
      const [from, at] = [256 * b, 110 * b];
      for (let run = 0; run < RUNS; run++) scales[run] = descendedScale(values, from + 16 * run, 16, 4);
      const extreme = extremeOf(scales, 0, RUNS);
      const unit = putHalf(out, at + 108, extreme / -32);
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
