/** Tables under another vocabulary: rows moved, borrowed, averaged, padded; read whole or in pieces. */
import { expect, test } from "bun:test";
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";
import { type RowSource, reRowed } from "../../../src/merge/vocabulary/rows.ts";
import { entry } from "../plan/fixtures.ts";

const table = (dtype: Dtype, rows: readonly (readonly number[])[]) =>
  entry("t", dtype, [rows.length, rows[0]!.length], encodeFloats(Float32Array.from(rows.flat()), dtype));

const [ours, theirs] = [
  [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ],
  [
    [10, 20, 30],
    [50, 60, 70],
  ],
];
const at = (which: number, row: number) => ({ table: which, row });
/** Two rows in a run, a mean, zeros, one of the other table, and two of padding. */
const ROWS: readonly RowSource[] = [[at(0, 1)], [at(0, 2)], [at(0, 0), at(1, 1)], [], [at(1, 0)], "padding", "padding"];
const MEAN = [4, 5, 6].map((x, i) => (x + ours![2]![i]! + (ours![0]![i]! + theirs![1]![i]!) / 2 + theirs![0]![i]!) / 5);
const WANTED = [[4, 5, 6], [7, 8, 9], [25.5, 31, 36.5], [0, 0, 0], [10, 20, 30], MEAN, MEAN];

async function bytesOf(made: ReturnType<typeof reRowed>, piece: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(made.bytes);
  for (let start = 0; start < bytes.length; start += piece)
    await made.read(bytes.subarray(start, start + piece), start);
  return bytes;
}

test.each(["F32", "BF16"] as const)("%s rows, whole and in pieces of any length", async (dtype) => {
  const made = reRowed(table(dtype, ours!), [table(dtype, ours!), table(dtype, theirs!)], ROWS);
  expect([made.shape, made.dtype]).toEqual([[7, 3], dtype]);
  // A mean is rounded to the type of the table before the mean over all rows is taken.
  const wanted = encodeFloats(Float32Array.from(WANTED.flat()), dtype);
  for (const piece of [made.bytes, 1, 5, 12, 13]) expect(await bytesOf(made, piece)).toEqual(wanted);
});

test("rows of a table of another type are converted", async () => {
  const made = reRowed(table("BF16", ours!), [table("BF16", ours!), table("F32", [[1.00390625, 2, 3]])], [[at(1, 0)]]);
  expect(await bytesOf(made, made.bytes)).toEqual(encodeFloats(Float32Array.of(1.00390625, 2, 3), "BF16"));
});

test("a vector has rows of one value", async () => {
  const bias = (values: readonly number[]) =>
    entry("b", "F32", [values.length], encodeFloats(Float32Array.from(values), "F32"));
  const made = reRowed(bias([1, 2]), [bias([1, 2]), bias([9])], [[at(0, 1)], [at(1, 0)], "padding"]);
  expect(made.shape).toEqual([3]);
  expect(await bytesOf(made, 4)).toEqual(encodeFloats(Float32Array.of(2, 9, 5.5), "F32"));
});
