/**
 * Readers of GGUF tensors: bytes as they are, Q8_0 blocks as f32, rows of query and key weights in Hugging Face's
 * order.
 */

import type { TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import { dtypeView } from "../dtype-view.ts";
import type { Source } from "../source.ts";

type Read = TensorEntry["read"];

/** A Q8_0 block: one f16 scale, then 32 signed bytes; weight = scale * byte, exact in f32. */
export const Q8_0_WEIGHTS = 32;
export const Q8_0_BYTES = 34;

/** Bytes of rows that are put in order at a time. */
const ROWS_BYTES = 1 << 20;

export const plainBytes =
  (source: Source, begin: number, place: string): Read =>
  (into, offset) =>
    source.read(into, begin + offset, place);

/** Q8_0 as little-endian f32, a stretch of blocks at a time. */
export function dequantized(source: Source, begin: number, place: string): Read {
  return dtypeView("F32", async (first, count) => {
    const block = Math.floor(first / Q8_0_WEIGHTS);
    const blocks = Math.ceil((first + count) / Q8_0_WEIGHTS) - block;
    const bytes = new Uint8Array(blocks * Q8_0_BYTES);
    await source.read(bytes, begin + block * Q8_0_BYTES, place);
    const signed = new Int8Array(bytes.buffer);
    const halves = new Uint8Array(2 * blocks);
    for (let b = 0; b < blocks; b++) {
      halves[2 * b] = bytes[b * Q8_0_BYTES]!;
      halves[2 * b + 1] = bytes[b * Q8_0_BYTES + 1]!;
    }
    const scales = decodeFloats(halves, "F16");
    const values = new Float32Array(blocks * Q8_0_WEIGHTS);
    for (let b = 0; b < blocks; b++) {
      const at = b * Q8_0_BYTES;
      const scale = scales[b]!;
      for (let i = 0; i < Q8_0_WEIGHTS; i++) values[b * Q8_0_WEIGHTS + i] = scale * signed[at + 2 + i]!;
    }
    return values.subarray(first - block * Q8_0_WEIGHTS, first - block * Q8_0_WEIGHTS + count);
  });
}

/**
 * Undoes llama.cpp's reordering of query and key rows. Rotary embedding pairs row i of a head with row i + D/2 at
 * Hugging Face and row 2i with row 2i + 1 at llama.cpp, so stored row 2i + j of a head (j is 0 or 1) is row i + j D/2.
 * `headRows` is D, even; `rowBytes` the bytes of a row. Reads twice the bytes that are asked for, in bounded pieces.
 */
export function restoredRows(stored: Read, headRows: number, rowBytes: number): Read {
  const half = headRows / 2;
  const most = Math.max(1, Math.floor(ROWS_BYTES / rowBytes));
  return async (into, offset) => {
    const end = offset + into.length;
    for (let at = offset; at < end; ) {
      const row = Math.floor(at / rowBytes);
      const head = Math.floor(row / headRows);
      const [j, i] = [Math.floor((row % headRows) / half), row % half];
      const rows = Math.min(half - i, most, Math.ceil(end / rowBytes) - row);
      const pairs = new Uint8Array(2 * rows * rowBytes);
      await stored(pairs, (head * headRows + 2 * i) * rowBytes);
      for (let k = 0; k < rows; k++) {
        const start = (row + k) * rowBytes; // of this row in the tensor as it is given out
        const [from, to] = [Math.max(start, at), Math.min(start + rowBytes, end)];
        const place = (2 * k + j) * rowBytes - start;
        into.set(pairs.subarray(place + from, place + to), from - offset);
      }
      at = Math.min(end, (row + rows) * rowBytes);
    }
  };
}
