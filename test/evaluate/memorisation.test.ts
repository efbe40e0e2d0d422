import { expect, test } from "bun:test";
import { method as exact } from "../../src/evaluate/methods/metrics/exact-memorisation.ts";
import { method as extraction } from "../../src/evaluate/methods/metrics/extraction-strength.ts";
import { method as probability } from "../../src/evaluate/methods/metrics/probability.ts";
import { CONTEXT, lettersRow, scoredRow } from "../support/scored-rows.ts";

test.each([
  ["ABCD", "XBCD", 0.75, 0.75],
  ["ABCD", "ABCD", 1, 1],
  ["ABCD", "ABXD", 0.75, 0.25],
  ["ABCD", "ABCX", 0.75, 0],
  ["ABCD", "XXXX", 0, 0],
])("%s predicted as %s: %d memorised, strength %d", (right, predicted, memorised, strength) => {
  const rows = [lettersRow(right, predicted)];
  expect(exact.value(rows, CONTEXT)).toBe(memorised);
  expect(extraction.value(rows, CONTEXT)).toBe(strength);
});

test("the end of a text does not count", () => {
  const rows = [lettersRow("ABCD.", "XBCDX", true), lettersRow(".", ".", true)];
  expect(exact.value(rows, CONTEXT)).toBe(0.75);
  expect(extraction.value(rows, CONTEXT)).toBe(0.75);
});

test("rows weigh the same, whatever their length and order", () => {
  const rows = [lettersRow("AB", "AB"), lettersRow("ABCDEFGH", "XXXXXXXX")];
  for (const list of [rows, rows.toReversed()]) {
    expect(exact.value(list, CONTEXT)).toBe(0.5);
    expect(extraction.value(list, CONTEXT)).toBe(0.5);
  }
});

test("probability is the geometric mean over tokens, then the mean over rows", () => {
  const halves = scoredRow({ nll: [Math.log(4), 0] });
  expect(probability.value([halves], CONTEXT)).toBeCloseTo(0.5, 6);
  expect(probability.value([halves, scoredRow({ nll: [0] }), scoredRow({ nll: [] })], CONTEXT)).toBeCloseTo(0.75, 6);
});
