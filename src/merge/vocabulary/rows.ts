/**
 * The table of a model under another vocabulary, row by row: its own where it has the token, else another model's, a
 * mean, or zeros. Nothing is held: rows are put together while they are read.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";

/** A row of one of several tables. */
export interface Row {
  readonly table: number;
  readonly row: number;
}

/** Where a row comes from: one row as it is, the mean of several, zeros for none, or the mean of all other rows. */
export type RowSource = readonly Row[] | "padding";

/** Bytes that a mean over all rows reads at a time. */
const PIECE = 1 << 20;

/** Values of a row of a table. A vector, such as a head's bias, has rows of one. */
export const columnsOf = ({ shape }: TensorEntry): number => shape.slice(1).reduce((a, b) => a * b, 1);

const rowBytes = (entry: TensorEntry): number => columnsOf(entry) * DTYPE_BYTES[entry.dtype];

/** `own` under the new vocabulary; tables have equally wide rows, and no adapter changes them. */
export function reRowed(own: TensorEntry, tables: readonly TensorEntry[], rows: readonly RowSource[]): TensorEntry {
  const width = rowBytes(own);
  const [, ...rest] = own.shape;
  let padding: Promise<Uint8Array> | undefined;

  /** One row in the dtype of `own`. */
  async function computed(source: RowSource): Promise<Uint8Array> {
    if (source === "padding") {
      padding ??= meanOfAll();
      return padding;
    }
    const sum = new Float64Array(columnsOf(own));
    for (const { table, row } of source) {
      const entry = tables[table]!;
      const bytes = new Uint8Array(rowBytes(entry));
      await entry.read(bytes, row * bytes.length);
      for (const [i, value] of decodeFloats(bytes, entry.dtype).entries()) sum[i]! += value;
    }
    return encodeFloats(
      Float32Array.from(sum, (value) => value / Math.max(source.length, 1)),
      own.dtype,
    );
  }

  async function meanOfAll(): Promise<Uint8Array> {
    const kept = rows.filter((source) => source !== "padding");
    const some = reRowed(own, tables, kept);
    const columns = columnsOf(own);
    const sum = new Float64Array(columns);
    const step = Math.max(1, Math.floor(PIECE / width)) * width;
    for (let at = 0; at < some.bytes; at += step) {
      const bytes = new Uint8Array(Math.min(step, some.bytes - at));
      await some.read(bytes, at);
      for (const [i, value] of decodeFloats(bytes, own.dtype).entries()) sum[i % columns]! += value;
    }
    return encodeFloats(
      Float32Array.from(sum, (value) => value / Math.max(kept.length, 1)),
      own.dtype,
    );
  }

  /** The table that holds the bytes of a row as they are wanted. */
  const plain = (source: RowSource | undefined): Row | undefined => {
    if (source === undefined || source === "padding" || source.length !== 1) return undefined;
    return tables[source[0]!.table]!.dtype === own.dtype ? source[0] : undefined;
  };

  return {
    name: own.name,
    dtype: own.dtype,
    shape: [rows.length, ...rest],
    bytes: rows.length * width,
    async read(into, offset) {
      let done = 0;
      while (done < into.length) {
        const row = Math.floor((offset + done) / width);
        const within = (offset + done) % width;
        const from = plain(rows[row]);
        if (!from) {
          const bytes = (await computed(rows[row]!)).subarray(within, within + into.length - done);
          into.set(bytes, done);
          done += bytes.length;
          continue;
        }
        // Rows that follow each other there too are read together.
        let count = 1;
        const follows = () => {
          const next = plain(rows[row + count]);
          return next?.table === from.table && next.row === from.row + count;
        };
        while (count * width - within < into.length - done && follows()) count++;
        const bytes = Math.min(count * width - within, into.length - done);
        await tables[from.table]!.read(into.subarray(done, done + bytes), from.row * width + within);
        done += bytes;
      }
    },
  };
}
