import { expect, test } from "bun:test";
import { exactMemorisation, extractionStrength } from "../../../src/evaluate/measures/memorisation.ts";
import { lettersRow } from "../../support/scored-rows.ts";

test.each([
  ["ABCD", "XBCD", 0.75, 0.75],
  ["ABCD", "ABCD", 1, 1],
  ["ABCD", "ABXD", 0.75, 0.25],
  ["ABCD", "ABCX", 0.75, 0],
  ["ABCD", "XXXX", 0, 0],
])("%s predicted as %s: %d memorised, strength %d", (right, predicted, memorised, strength) => {
  const rows = [lettersRow(right, predicted)];
  expect(exactMemorisation(rows)).toBe(memorised);
  expect(extractionStrength(rows)).toBe(strength);
});

test("the end of a text does not count", () => {
  const rows = [lettersRow("ABCD.", "XBCDX", true), lettersRow(".", ".", true)];
  expect(exactMemorisation(rows)).toBe(0.75);
  expect(extractionStrength(rows)).toBe(0.75);
});

test("rows weigh the same, whatever their length and order", () => {
  const rows = [lettersRow("AB", "AB"), lettersRow("ABCDEFGH", "XXXXXXXX")];
  for (const list of [rows, rows.toReversed()]) {
    expect(exactMemorisation(list)).toBe(0.5);
    expect(extractionStrength(list)).toBe(0.5);
  }
});
