/** Packing and padding: no token is lost, moved or counted twice. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { bucketLength, collate, stackExamples } from "../../src/data/batch.ts";
import { countedTokens } from "../../src/data/dataset.ts";
import { packFirstFit } from "../../src/data/pack.ts";
import { IGNORED } from "../../src/data/rows.ts";
import type { Sequence } from "../../src/data/sequences.ts";

const label = fc.integer({ min: -1, max: 50 }).map((n) => (n < 0 ? IGNORED : n));
const sequence = fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), label), { minLength: 1, maxLength: 20 }).map(
  (pairs): Sequence => ({
    ids: Int32Array.from(pairs, ([id]) => id),
    labels: Int32Array.from(pairs, ([, label]) => label),
    group: 0,
    place: "r:1",
  }),
);

test("first fit packs every sequence once, within capacity, and opens a row only when no open one has room", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 32 }), { maxLength: 200 }), (lengths) => {
      const rows = packFirstFit(lengths, 32);
      expect(rows.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
      const left = rows.map(() => 32);
      const rowOf = new Map(rows.flatMap((row, r) => row.map((i) => [i, r] as const)));
      for (const [i, length] of lengths.entries()) {
        const opened = left.slice(0, rowOf.get(i)).findIndex((room) => room >= length);
        expect(opened).toBe(-1); // no earlier row had room for it
        left[rowOf.get(i)!]! -= length;
      }
      expect(left.every((room) => room >= 0)).toBe(true);
    }),
  );
  expect(packFirstFit([3, 4, 1, 2, 4], 5)).toEqual([[0, 2], [1], [3], [4]]);
  expect(() => packFirstFit([6], 5)).toThrow("sequence 0 has 6 tokens; a row takes 1 to 5");
});

test("packing many rows takes time in proportion to their number, and loses none", () => {
  const lengths = Array.from({ length: 5000 }, (_, i) => (i % 2 ? 3 : 30));
  const rows = packFirstFit(lengths, 32);
  expect(new Set(rows.flat()).size).toBe(5000);
  expect(rows.every((row) => row.reduce((sum, i) => sum + lengths[i]!, 0) <= 32)).toBe(true);
});

test("a batch holds every token and label where its documents say, and padding elsewhere", () => {
  const bins = fc.array(fc.array(sequence, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(bins, (bins) => {
      const batch = collate(bins, { pad: 99 });
      const touched = new Uint8Array(batch.ids.length);
      expect(batch.documents.map(({ sequence }) => sequence)).toEqual(bins.flat());
      for (const { sequence, row, start } of batch.documents) {
        const at = row * batch.length + start;
        const end = at + sequence.ids.length;
        expect(batch.ids.slice(at, end)).toEqual(sequence.ids.slice());
        expect(batch.labels[at]).toBe(IGNORED);
        expect(batch.labels.slice(at + 1, end)).toEqual(sequence.labels.slice(1));
        expect([...batch.positions.slice(at, end)]).toEqual([...sequence.ids.keys()]);
        expect(new Set(batch.segments.slice(at, end)).size).toBe(1);
        for (let i = at; i < end; i++) touched[i]!++;
      }
      for (const [i, count] of touched.entries()) {
        expect(count).toBe(batch.segments[i] === 0 ? 0 : 1);
        if (count === 0) expect([batch.ids[i], batch.labels[i], batch.positions[i]]).toEqual([99, IGNORED, 0]);
      }
      for (const [row, bin] of bins.entries()) {
        const segments = batch.segments.subarray(row * batch.length, row * batch.length + batch.lengths[row]!);
        expect(Array.from(new Set(segments))).toEqual(bin.map((_, i) => i + 1));
      }
      expect(batch.counted).toBe(batch.labels.filter((label) => label !== IGNORED).length);
      expect(batch.counted).toBe(bins.flat().reduce((sum, one) => sum + countedTokens(one), 0));
      expect(batch.packed).toBe(bins.some((bin) => bin.length > 1));
    }),
  );
});

test("lengths come in few sizes", () => {
  expect([1, 16, 17, 24, 25, 33, 48, 49, 64, 100, 128, 129].map((n) => bucketLength(n))).toEqual([
    16, 16, 24, 24, 32, 48, 48, 64, 64, 128, 128, 192,
  ]);
  expect(bucketLength(5, [4, 8])).toBe(8);
  expect(() => bucketLength(9, [4, 8])).toThrow("a row of 9 tokens; the largest bucket is 8");
  const ids = Int32Array.of(1, 2, 3);
  expect(collate([[{ ids, labels: ids, group: 0, place: "" }]], { buckets: "none" }).length).toBe(3);
});

test("tasks are the groups of rows; a row of several has none", () => {
  const of = (group: number) => ({ ids: Int32Array.of(1, 2), labels: Int32Array.of(1, 2), group, place: "" });
  expect(collate([[of(2)], [of(1), of(1)], [of(0), of(1)]]).tasks).toEqual(Int32Array.of(2, 1, -1));
  const x = { x: Float32Array.of(1), shape: [1], label: 0 };
  expect(stackExamples([{ ...x, group: 3 }, x] as (typeof x)[]).tasks).toEqual(Int32Array.of(3, 0));
});

test("examples are stacked, and differing shapes are refused", () => {
  const example = (values: number[], label: number) => ({
    x: Float32Array.from(values),
    shape: [values.length],
    label,
  });
  const batch = stackExamples([example([1, 2], 3), example([4, 5], 6)]);
  expect(batch).toEqual({
    rows: 2,
    length: 1,
    counted: 2,
    shape: [2],
    x: Float32Array.of(1, 2, 4, 5),
    labels: Int32Array.of(3, 6),
    places: [],
    tasks: new Int32Array(2),
  });
  expect(() => stackExamples([example([1], 0), example([1, 2], 0)])).toThrow("example 1 is (2), the first is (1)");
});
