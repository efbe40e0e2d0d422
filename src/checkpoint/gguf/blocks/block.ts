/**
 * What a quantized GGUF type is, and how any range of its values is read.
 *
 * A tensor is a row of blocks of equal size; a decoder turns whole blocks into f32. The layouts are those of ggml's
 * `block_*` structures, the equations those of its `dequantize_row_*`. Products of a scale and a code are exact in f32,
 * so that a value is rounded at most once, where a minimum is added.
 */
import type { TensorEntry } from "../../checkpoint.ts";
import type { Source } from "../../source.ts";

export interface BlockType {
  /** Values of a block. */
  readonly weights: number;
  /** Bytes of a block. */
  readonly bytes: number;
  /** Decodes `count` blocks from the start of `bytes` into `values` (count * weights). */
  decode(bytes: Uint8Array<ArrayBuffer>, count: number, values: Float32Array): void;
}

/** Values decoded at a time; bounds the extra memory of a read to about 2 MB. */
const CHUNK = 1 << 18;

const halfBits = new Uint16Array(1);
const halfValue = new Float16Array(halfBits.buffer);
/** The f32 value of every f16: a look-up costs a third of reading a Float16Array. */
let halves: Float32Array | undefined;

/** The table of all f16 values by their bits; made when first asked for. */
export function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => {
    halfBits[0] = bits;
    return halfValue[0]!;
  });
  return halves;
}

/** Little-endian f32 bytes of the values of a tensor at `begin`; only the blocks that a range touches are read. */
export function decodedBlocks(type: BlockType, source: Source, begin: number, place: string): TensorEntry["read"] {
  return async (into, offset) => {
    const end = offset + into.length;
    const most = Math.max(1, Math.floor(CHUNK / type.weights));
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / (4 * type.weights));
      const count = Math.min(most, Math.ceil(end / (4 * type.weights)) - block);
      const stored = new Uint8Array(count * type.bytes);
      await source.read(stored, begin + block * type.bytes, place);
      const values = new Float32Array(count * type.weights);
      type.decode(stored, count, values);
      const first = 4 * block * type.weights;
      const stop = Math.min(end, first + values.byteLength);
      into.set(new Uint8Array(values.buffer, at - first, stop - at), at - offset);
      at = stop;
    }
  };
}
