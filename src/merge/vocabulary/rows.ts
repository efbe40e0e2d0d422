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

/** What a digit at its place is worth beside the largest that a number may have, -1 to 1; 0 for a zero. */
export interface Worth {
  readonly share: number;
}

/**
 * Where a row comes from: one row as it is, the mean of several, zeros for none, the mean of all other rows, or that
 * mean with the encoding of a number.
 */
export type RowSource = readonly Row[] | "padding" | Worth;

/** A row that comes from rows. */
export const isOfRows = (source: RowSource): source is readonly Row[] => Array.isArray(source);

/** Bytes that a mean over all rows reads at a time. */
const PIECE = 1 << 20;

/** Values of a row of a table. A vector, such as a head's bias, has rows of one. */
export const columnsOf = ({ shape }: TensorEntry): number => shape.slice(1).reduce((a, b) => a * b, 1);

const rowBytes = (entry: TensorEntry): number => columnsOf(entry) * DTYPE_BYTES[entry.dtype];

/** Of all values of a table's rows: the mean of each column, and the standard deviation of all values. */
interface Moments {
  readonly mean: Float64Array;
  readonly deviation: number;
}

/** How large the encoding of the largest digit is, in standard deviations of the table. */
const REACH = 10;

/**
 * What a number adds to column c of a row: v / d in even ones and -v / d in odd ones, d = c + 1 and c, v scaled so that
 * the largest is 10.
 * Born & Manica 2023, https://arxiv.org/abs/2202.01338, with the table's standard deviation as the unit.
 */
export const numberEncoding = (share: number, column: number): number =>
  column % 2 === 0 ? (REACH * share) / (column + 1) : (-REACH * share) / column;

/** `own` under the new vocabulary; tables have equally wide rows, and no adapter changes them. */
export function reRowed(own: TensorEntry, tables: readonly TensorEntry[], rows: readonly RowSource[]): TensorEntry {
  const width = rowBytes(own);
  const [, ...rest] = own.shape;
  let padding: Promise<Moments> | undefined;
  const encoded = (values: Float64Array) => encodeFloats(Float32Array.from(values), own.dtype);

  /** One row in the dtype of `own`. */
  async function computed(source: RowSource): Promise<Uint8Array> {
    if (!isOfRows(source)) {
      padding ??= momentsOfAll();
      const { mean, deviation } = await padding;
      if (source === "padding") return encoded(mean);
      return encoded(mean.map((value, i) => value + deviation * numberEncoding(source.share, i)));
    }
    const sum = new Float64Array(columnsOf(own));
    for (const { table, row } of source) {
      const entry = tables[table]!;
      const bytes = new Uint8Array(rowBytes(entry));
      await entry.read(bytes, row * bytes.length);
      for (const [i, value] of decodeFloats(bytes, entry.dtype).entries()) sum[i]! += value;
    }
    return encoded(sum.map((value) => value / Math.max(source.length, 1)));
  }

  async function momentsOfAll(): Promise<Moments> {
    const kept = rows.filter(isOfRows);
    const some = reRowed(own, tables, kept);
    const columns = columnsOf(own);
    const sum = new Float64Array(columns);
    let squares = 0;
    const step = Math.max(1, Math.floor(PIECE / width)) * width;
    for (let at = 0; at < some.bytes; at += step) {
      const bytes = new Uint8Array(Math.min(step, some.bytes - at));
      await some.read(bytes, at);
      for (const [i, value] of decodeFloats(bytes, own.dtype).entries()) {
        sum[i % columns]! += value;
        squares += value * value;
      }
    }
    const count = Math.max(kept.length, 1);
    const mean = sum.map((value) => value / count);
    const whole = mean.reduce((a, b) => a + b, 0) / columns;
    return { mean, deviation: Math.sqrt(Math.max(0, squares / count / columns - whole * whole)) };
  }

  /** The table that holds the bytes of a row as they are wanted. */
  const plain = (source: RowSource | undefined): Row | undefined => {
    if (source === undefined || !isOfRows(source) || source.length !== 1) return undefined;
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
