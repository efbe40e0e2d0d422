/** Scales and zero points of whole rows, one for each row and group, as a matrix of codes has them. */
import type { TensorEntry } from "../checkpoint.ts";
import type { Stored } from "./contract.ts";
import { type Grid, scaleRow } from "./grid.ts";
import type { StoredMatrix } from "./matrix.ts";
import { readBytes, readScales } from "./read.ts";

/** Smaller groups cost more than the codes that they scale. */
const LEAST_GROUP = 8;

/** Columns that share a scale; undefined where the scales of a row are too many to be held beside its codes. */
export const groupOfGrid = (grid: Grid, columns: number): number | undefined =>
  grid.columns === 1 ? columns : grid.columnBlock < LEAST_GROUP ? undefined : grid.columnBlock;

/** A type of two bytes where a file holds the scales in one, else f32. */
export const scaleDtype = (...entries: readonly Pick<TensorEntry, "dtype">[]): StoredMatrix["scaleDtype"] => {
  const [first, ...others] = entries.map(({ dtype }) => dtype);
  const alike = others.every((dtype) => dtype === first);
  return alike && (first === "F16" || first === "BF16") ? first : "F32";
};

/** (count, groups) out of what `read` gives of the rows of the grid. */
async function spread<T extends Float32Array | Uint8Array>(
  grid: Grid,
  [first, count]: readonly [number, number],
  into: T,
  read: (first: number, count: number) => Promise<T>,
): Promise<T> {
  if (count === 0) return into;
  const from = scaleRow(grid, first);
  const rows = scaleRow(grid, first + count - 1) + 1 - from;
  const held = await read(from * grid.columns, rows * grid.columns);
  for (let row = 0; row < count; row++) {
    const at = (scaleRow(grid, first + row) - from) * grid.columns;
    into.set(held.subarray(at, at + grid.columns), row * grid.columns);
  }
  return into;
}

/** Scales of rows [first, first + count). */
export const scalesOfRows = (
  stored: Stored,
  entry: TensorEntry,
  grid: Grid,
  first: number,
  count: number,
): Promise<Float32Array> =>
  spread(grid, [first, count], new Float32Array(count * grid.columns), (at, n) => readScales(stored, entry, at, n));

/** Bytes that lie as the scales do. */
export const bytesOfRows = (
  entry: TensorEntry,
  grid: Grid,
  first: number,
  count: number,
  read = (at: number, n: number): Promise<Uint8Array> => readBytes(entry, at, n),
): Promise<Uint8Array> => spread<Uint8Array>(grid, [first, count], new Uint8Array(count * grid.columns), read);

/** Fields of a byte each out of nibbles that follow one another. */
export function nibbles(packed: Uint8Array, lowFirst: boolean): Uint8Array {
  const codes = new Uint8Array(2 * packed.length);
  const [even, odd] = lowFirst ? [0, 4] : [4, 0];
  for (let i = 0; i < packed.length; i++) {
    codes[2 * i] = (packed[i]! >> even) & 15;
    codes[2 * i + 1] = (packed[i]! >> odd) & 15;
  }
  return codes;
}
