/** The top-left part of a matrix, read in pieces of any size. */
import { expect, test } from "bun:test";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { cropEntry } from "../../src/tensor/crop.ts";
import { entryOf } from "../support/entry.ts";
import { lowRankOf } from "../support/lora.ts";

const grid = (rows: number, columns: number) => Float32Array.from({ length: rows * columns }, (_, i) => i);

test("any piece of a cropped matrix is that of the rows and columns kept", async () => {
  for (const dtype of ["F32", "BF16", "F64"] as const) {
    const entry = entryOf("w", dtype, [7, 5], grid(7, 5));
    for (const [rows, columns] of [
      [7, 5],
      [4, 5],
      [7, 3],
      [4, 3],
      [1, 1],
      [0, 3],
    ] as const) {
      const cropped = cropEntry(entry, rows, columns);
      const wanted = Float32Array.from(
        { length: rows * columns },
        (_, i) => 5 * Math.floor(i / columns) + (i % columns),
      );
      const whole = new Uint8Array(cropped.bytes);
      await cropped.read(whole, 0);
      expect(decodeFloats(whole, dtype)).toEqual(wanted);
      for (let at = 0; at < whole.length; at += 5) {
        const piece = new Uint8Array(Math.min(7, whole.length - at));
        await cropped.read(piece, at);
        expect(piece).toEqual(whole.slice(at, at + piece.length));
      }
    }
  }
});

test("what is whole already, or no matrix, is itself; an adapter's factors are cropped too", () => {
  const entry = entryOf("w", "F32", [3, 4], grid(3, 4));
  expect(cropEntry(entry, 3, 4)).toBe(entry);
  const vector = entryOf("v", "F32", [4], grid(1, 4));
  expect(cropEntry(vector, 2, 2)).toBe(vector);
  const patch = { a: grid(2, 4), b: grid(3, 2), rank: 2, scale: 1, transposed: false, magnitude: grid(1, 3) };
  const cropped = lowRankOf(cropEntry(entryOf("w", "F32", [3, 4], grid(3, 4), patch), 2, 3));
  expect([...cropped.a]).toEqual([0, 1, 2, 4, 5, 6]);
  expect([...cropped.b]).toEqual([0, 1, 2, 3]);
  expect([...cropped.magnitude!]).toEqual([0, 1]);
});
