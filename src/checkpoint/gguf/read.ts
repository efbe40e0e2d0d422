/** Readers of GGUF tensors: bytes as they are, and rows of query and key weights in Hugging Face's order. */

import type { TensorEntry } from "../checkpoint.ts";
import type { Source } from "../source.ts";

type Read = TensorEntry["read"];

/** Bytes of rows that are put in order at a time. */
const ROWS_BYTES = 1 << 20;

export const plainBytes =
  (source: Source, begin: number, place: string): Read =>
  (into, offset) =>
    source.read(into, begin + offset, place);

/** Gives w for stored f32 values 1 + w, at any offset. */
export function lessOne(stored: Read): Read {
  return async (into, offset) => {
    const begin = offset - (offset % 4);
    const values = new Float32Array(Math.ceil((offset + into.length - begin) / 4));
    await stored(new Uint8Array(values.buffer), begin);
    for (let i = 0; i < values.length; i++) values[i]! -= 1;
    into.set(new Uint8Array(values.buffer, offset - begin, into.length));
  };
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
