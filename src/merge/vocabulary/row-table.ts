/** A table with a row per token, read row by row: values as f32, a piece of the table in memory at a time. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { columnsOf } from "./rows.ts";

/** Bytes that are read at a time. */
const PIECE = 1 << 22;
/** Bytes between two wanted rows that are read too, rather than beginning anew. */
const GAP = 1 << 15;

export class RowTable {
  readonly entry: TensorEntry;
  readonly rows: number;
  /** Values of a row; 1 for a vector. */
  readonly columns: number;
  readonly #width: number;
  #mean: Promise<Float64Array> | undefined;

  constructor(entry: TensorEntry) {
    this.entry = entry;
    this.rows = entry.shape[0] ?? 0;
    this.columns = columnsOf(entry);
    this.#width = this.columns * DTYPE_BYTES[entry.dtype];
  }

  /** Gives the rows of `ids`, which are sorted and distinct, one after the other; `values` is valid until the next. */
  async visit(ids: ArrayLike<number>, use: (id: number, values: Float32Array) => void): Promise<void> {
    const values = new Float32Array(this.columns);
    for (let at = 0; at < ids.length; ) {
      const first = ids[at]!;
      let end = at + 1;
      const fits = (id: number) =>
        (id + 1 - first) * this.#width <= PIECE && (id - ids[end - 1]!) * this.#width <= GAP + this.#width;
      while (end < ids.length && fits(ids[end]!)) end++;
      const bytes = new Uint8Array((ids[end - 1]! + 1 - first) * this.#width);
      await this.entry.read(bytes, first * this.#width);
      for (; at < end; at++) {
        const from = (ids[at]! - first) * this.#width;
        decodeFloats(bytes.subarray(from, from + this.#width), this.entry.dtype, values);
        use(ids[at]!, values);
      }
    }
  }

  /** The rows of `ids`, in their order: (ids, columns). */
  async gather(ids: ArrayLike<number>): Promise<Float32Array<ArrayBuffer>> {
    const found = new Float32Array(ids.length * this.columns);
    const places = new Map<number, number[]>();
    for (let i = 0; i < ids.length; i++) {
      const known = places.get(ids[i]!);
      if (known) known.push(i);
      else places.set(ids[i]!, [i]);
    }
    const sorted = [...places.keys()].sort((a, b) => a - b);
    await this.visit(sorted, (id, values) => {
      for (const place of places.get(id)!) found.set(values, place * this.columns);
    });
    return found;
  }

  /** The mean of all rows, read once. */
  mean(): Promise<Float64Array> {
    this.#mean ??= (async () => {
      const sum = new Float64Array(this.columns);
      const all = Array.from({ length: this.rows }, (_, row) => row);
      await this.visit(all, (_, values) => {
        for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
      });
      return sum.map((value) => value / Math.max(this.rows, 1));
    })();
    return this.#mean;
  }
}
