import { expect, test } from "bun:test";
import fc from "fast-check";
import { rougeOf, rougeRecall } from "../../../src/evaluate/measures/rouge.ts";
import { rouge } from "../../../src/text/rouge.ts";
import { scoredRow } from "../../support/scored-rows.ts";

test.each([
  ["a b c d", "a c d", 0.75, 6 / 7, 0.75],
  ["a b c d", "d c b a", 0.25, 0.25, 1],
  ["a b", "", 0, 0, 0],
  ["The Cats, running.", "the cat-runs", 1, 1, 1],
  ["a a b", "a c", 1 / 3, 0.4, 1 / 3],
  ["a b", "x y a z b w", 1, 0.5, 1],
])("%j given as %j", (expected, found, recall, f1, recall1) => {
  const result = rouge(expected, found);
  expect(result.recall).toBeCloseTo(recall, 12);
  expect(result.f1).toBeCloseTo(f1, 12);
  expect(result.recall1).toBeCloseTo(recall1, 12);
});

test("a text has all of itself; shares stay between 0 and 1", () => {
  const text = fc.array(fc.constantFrom("town", "towns", "a", "was", "running", "Été", "42"), { minLength: 1 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const [x, y] = [a.join(" "), b.join(", ")];
      expect(rouge(x, x)).toEqual({ recall: 1, f1: 1, recall1: 1 });
      const { recall, f1, recall1 } = rouge(x, y);
      expect(recall).toBeLessThanOrEqual(recall1);
      for (const share of [recall, f1, recall1]) expect(share).toBeWithin(0, 1 + 1e-12);
      expect(rouge(y, x).f1).toBeCloseTo(f1, 12);
    }),
  );
});

test("rows that expect nothing are left out", () => {
  const rows = [
    ["a b", "a"],
    ["...", "a"],
  ].map(([expected, found]) => scoredRow({ generated: { expected: expected!, found: found! } }));
  expect(rougeRecall([...rows, scoredRow()])).toBe(0.5);
  expect(rougeOf(rows)).toEqual([{ recall: 0.5, f1: 2 / 3, recall1: 0.5 }]);
});
