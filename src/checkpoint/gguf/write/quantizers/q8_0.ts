/**
 * Q8_0: 32 values, d = largest magnitude / 127 in f16, then signed bytes. A code is the value over d before d was
 * rounded to f16, halves away from zero, all in f32: the bytes of ggml's `quantize_row_q8_0_ref`.
 */
import { putHalf, type Quantizer } from "./quantizer.ts";

const { fround } = Math;

export const q8_0: Quantizer = {
  weights: 32,
  bytes: 34,
  quantize(values, count, out) {
    for (let b = 0; b < count; b++) {
      const from = 32 * b;
      const at = 34 * b;
      let most = 0;
      for (let i = 0; i < 32; i++) most = Math.max(most, Math.abs(values[from + i]!));
      const scale = fround(most / 127);
      const inverse = scale === 0 ? 0 : fround(1 / scale);
      putHalf(out, at, scale);
      for (let i = 0; i < 32; i++) {
        const x = fround(values[from + i]! * inverse);
        out[at + 2 + i] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5);
      }
    }
  },
};
