/** What turns f32 values into the blocks of a quantized GGUF type. */

export interface Quantizer {
  /** Values of a block. */
  readonly weights: number;
  /** Bytes of a block. */
  readonly bytes: number;
  /**
   * Encodes `count` blocks from the start of `values` (count * weights, all finite) into `out` (count * bytes).
   * `columns`: how much an error of each column of a row counts (its squared activation), rows of whole blocks; all
   * alike, as far as the type knows columns, when left out.
   */
  quantize(values: Float32Array, count: number, out: Uint8Array, columns?: Float32Array): void;
}

const half = new Float16Array(1);
const halfBits = new Uint16Array(half.buffer);

/** Writes a value as f16, to nearest even, and gives back what a reader finds there. */
export function putHalf(out: Uint8Array, at: number, value: number): number {
  half[0] = value;
  out[at] = halfBits[0]! & 255;
  out[at + 1] = halfBits[0]! >> 8;
  return half[0]!;
}
