/** BM25 by hand, on four short texts. */
import { expect, test } from "bun:test";
import { Bm25 } from "../../../src/data/demonstrations/bm25.ts";

test("scores are those of the formula; texts without a common word have none", () => {
  const index = new Bm25(["red fox", "red red dog runs", "blue cat", "The fox"]);
  const idf = (holders: number) => Math.log(1 + (4 - holders + 0.5) / (holders + 0.5));
  const mean = (2 + 4 + 2 + 2) / 4;
  const part = (count: number, length: number) => (count * 2.2) / (count + 1.2 * (0.25 + (0.75 * length) / mean));
  const found = index.ranked("Red FOX fox?");
  expect(found.map(({ text }) => text)).toEqual([0, 1, 3]);
  expect(found[0]!.score).toBeCloseTo(idf(2) * part(1, 2) + idf(2) * part(1, 2), 12);
  expect(found[1]!.score).toBeCloseTo(idf(2) * part(2, 4), 12);
  expect(found[2]!.score).toBeCloseTo(idf(2) * part(1, 2), 12);
  expect(index.ranked("nothing")).toEqual([]);
  expect(new Bm25([]).ranked("red")).toEqual([]);
});
