import { expect, test } from "bun:test";
import { checkSpace } from "../../../src/merge/search/check-space.ts";
import { type Gene, isIn, placeOf, valueAt } from "../../../src/run/searching/space.ts";

const REAL: Gene = { kind: "real", name: "t", low: -1, high: 3, default: 0 };
const LOG: Gene = { kind: "real", name: "lr", low: 0.01, high: 100, log: true, default: 1 };
const INTEGER: Gene = { kind: "integer", name: "rank", low: 2, high: 5, default: 2 };
const CHOICE: Gene = { kind: "choice", name: "sign", choices: ["sum", "count", "off"], default: "sum" };

test("places of the unit interval are values, and back", () => {
  expect([0, 0.25, 1, 7, -7].map((place) => valueAt(REAL, place))).toEqual([-1, 0, 3, 3, -1]);
  expect(valueAt(LOG, 0.5)).toBeCloseTo(1, 12);
  expect([0, 0.24, 0.25, 0.99, 1].map((place) => valueAt(INTEGER, place))).toEqual([2, 2, 3, 5, 5]);
  expect([0, 0.34, 0.99, 1].map((place) => valueAt(CHOICE, place))).toEqual(["sum", "count", "off", "off"]);
  for (const gene of [REAL, LOG, INTEGER, CHOICE])
    for (const place of [0, 0.1, 0.5, 0.77, 1]) {
      const value = valueAt(gene, place);
      expect(isIn([gene], [value])).toBe(true);
      const again = valueAt(gene, placeOf(gene, value));
      if (typeof value === "number") expect(again as number).toBeCloseTo(value, 9);
      else expect(again).toBe(value);
    }
});

test("what is no value of a gene is not in the space", () => {
  expect(isIn([REAL], [3.1])).toBe(false);
  expect(isIn([REAL], [Number.NaN])).toBe(false);
  expect(isIn([INTEGER], [2.5])).toBe(false);
  expect(isIn([CHOICE], ["of"])).toBe(false);
  expect(isIn([REAL, INTEGER], [0])).toBe(false);
});

test("spaces that cannot be searched are refused", () => {
  const refused = (genes: Gene[]) => {
    try {
      checkSpace(genes);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refused([])).toBe("the search has nothing to vary");
  expect(refused([REAL, REAL])).toBe("--search-space: t varies twice");
  expect(refused([{ ...REAL, low: 4 }])).toBe("--search-space: t goes from 4 to 3");
  expect(refused([{ ...LOG, low: 0 }])).toBe("--search-space: lr is spread over a logarithm and begins at 0");
  expect(refused([REAL, LOG, INTEGER, CHOICE])).toBeUndefined();
});
