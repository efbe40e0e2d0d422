/**
 * A table of tokens whose rows are those of another table, weighted sums of them, or values of their own. Rows are put
 * together while they are read, in f64; those taken as they are keep their bits.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { encodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { RowTable } from "./row-table.ts";

/** A weighted sum of rows of a table. */
export interface Mix {
  readonly rows: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** A row that is computed: a sum of others, or its values. */
export type NewRow = Mix | Float64Array;

/** Terms of sums that are looked up together. */
const MOST_TERMS = 1 << 20;

/** What a table is made of. */
export interface MixedRows {
  readonly count: number;
  /** A row of the old table, as it is, or one that is computed. The same for the same row whenever it is asked for. */
  source(row: number): number | NewRow;
  /** Changes a computed row in place before it is stored. */
  finish?(row: number, values: Float64Array): void;
}

/** The table of `own` with other rows. */
export function mixedTable(own: TensorEntry, { count, source, finish }: MixedRows): TensorEntry {
  const table = new RowTable(own);
  const width = table.columns * DTYPE_BYTES[own.dtype];

  /** Rows [first, end) as they are stored. */
  async function rowsOf(first: number, end: number): Promise<Uint8Array> {
    const bytes = new Uint8Array((end - first) * width);
    const computed: { readonly row: number; readonly from: NewRow }[] = [];
    for (let row = first; row < end; ) {
      const from = source(row);
      if (typeof from !== "number") {
        computed.push({ row, from });
        row++;
        continue;
      }
      let next = row + 1; // rows that follow each other in the old table too are read together
      while (next < end && source(next) === from + next - row) next++;
      await own.read(bytes.subarray((row - first) * width, (next - first) * width), from * width);
      row = next;
    }
    for (const group of groupsOf(computed)) {
      const sums = await summed(
        table,
        group.map(({ from }) => from),
      );
      for (const [i, { row }] of group.entries()) {
        finish?.(row, sums[i]!);
        bytes.set(encodeFloats(Float32Array.from(sums[i]!), own.dtype), (row - first) * width);
      }
    }
    return bytes;
  }

  return {
    name: own.name,
    dtype: own.dtype,
    shape: [count, ...own.shape.slice(1)],
    bytes: count * width,
    async read(into, offset) {
      if (into.length === 0) return;
      const first = Math.floor(offset / width);
      const bytes = await rowsOf(first, Math.ceil((offset + into.length) / width));
      into.set(bytes.subarray(offset - first * width, offset - first * width + into.length));
    },
  };
}

const termsOf = (row: NewRow): number => (row instanceof Float64Array ? 0 : row.rows.length);

/** Rows whose terms are few enough to be looked up together; at least one a group. */
function* groupsOf<T extends { readonly from: NewRow }>(rows: readonly T[]): Generator<T[]> {
  let group: T[] = [];
  let terms = 0;
  for (const row of rows) {
    if (group.length > 0 && terms + termsOf(row.from) > MOST_TERMS) {
      yield group;
      [group, terms] = [[], 0];
    }
    group.push(row);
    terms += termsOf(row.from);
  }
  if (group.length > 0) yield group;
}

/** The values of computed rows: every row of the table is read at most once. */
async function summed(table: RowTable, rows: readonly NewRow[]): Promise<Float64Array[]> {
  const sums = rows.map((row) => (row instanceof Float64Array ? row.slice() : new Float64Array(table.columns)));
  const uses = new Map<number, { readonly sum: Float64Array; readonly weight: number }[]>();
  for (const [i, row] of rows.entries()) {
    if (row instanceof Float64Array) continue;
    for (let term = 0; term < row.rows.length; term++) {
      const use = { sum: sums[i]!, weight: row.weights[term]! };
      const known = uses.get(row.rows[term]!);
      if (known) known.push(use);
      else uses.set(row.rows[term]!, [use]);
    }
  }
  const ids = [...uses.keys()].sort((a, b) => a - b);
  await table.visit(ids, (id, values) => {
    for (const { sum, weight } of uses.get(id)!) {
      for (let c = 0; c < sum.length; c++) sum[c]! += weight * values[c]!;
    }
  });
  return sums;
}
