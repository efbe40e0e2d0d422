import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  numberRow,
  numeralOf,
  numeralTokens,
  parseDigits,
  readBackRow,
  readNumber,
  spellNumber,
  textRow,
} from "../../../src/data/numeric/numerals.ts";

test("a number is its digits with their places, and nothing before the first one", () => {
  expect(spellNumber(12.3, { whole: 3, decimals: 1 })).toBe("_1_1__2_0__3_-1_");
  expect(spellNumber(-0.5, { whole: 1, decimals: 2 })).toBe("_-__0_0__5_-1__0_-2_");
  expect(spellNumber(7, { whole: 2, decimals: 0 })).toBe("_7_0_");
  expect(spellNumber(-0.04, { whole: 1, decimals: 1 })).toBe("_0_0__0_-1_");
});

test("what is written is read back as the same number", () => {
  const shape = fc.record({ whole: fc.integer({ min: 1, max: 8 }), decimals: fc.integer({ min: 0, max: 7 }) });
  const cases = shape.chain((digits) => {
    const most = 10 ** (digits.whole + digits.decimals) - 1;
    return fc.tuple(fc.constant(digits), fc.integer({ min: -most, max: most }));
  });
  fc.assert(
    fc.property(cases, ([digits, scaled]) => {
      const value = Number(`${scaled}e${-digits.decimals}`);
      const spelt = spellNumber(value, digits);
      expect(readNumber(spelt)).toBe(value);
      const tokens = numeralTokens(digits);
      for (const [token] of spelt.matchAll(/_-_|_\d_-?\d+_/g)) expect(tokens).toContain(token);
    }),
  );
});

test("other texts are no numbers", () => {
  for (const text of ["", "_-_", "12.3", "_1_0__2_0_", "_1_0__2_-2_", "_1_0_x", "_-__-__1_0_", "_12_0_"])
    expect(readNumber(text)).toBeUndefined();
  expect(numeralOf("_7_-2_")).toEqual({ digit: 7, place: -2 });
  expect(numeralOf("_-_")).toBeUndefined();
});

test("a text that was written for a number is asked for that number", () => {
  const spelt = spellNumber(-1.5, { whole: 1, decimals: 1 });
  expect(numberRow("abc", "<value>", spelt)).toEqual({ prompt: "abc|<value>", completion: spelt });
  const { prompt } = textRow("abc", "<value>", spelt);
  expect(readBackRow(prompt, "dd")).toEqual(numberRow("dd", "<value>", spelt));
  expect(readBackRow("abc|<value>", "dd")).toBeUndefined();
});

test("numbers and digits that do not fit are refused", () => {
  for (const text of ["3", "0.2", "9.9.9", "a.b", "14.2", "-1.2"])
    expect(() => parseDigits(text, "--digits")).toThrow(`--digits ${text} is not digits before the point`);
  expect(() => spellNumber(1000, { whole: 3, decimals: 2 })).toThrow("1000 does not fit into 3 digits");
  expect(() => spellNumber(9.96, { whole: 1, decimals: 1 })).toThrow("9.96 does not fit into 1 digits");
  expect(() => spellNumber(Number.NaN, { whole: 1, decimals: 1 })).toThrow("does not fit");
});
