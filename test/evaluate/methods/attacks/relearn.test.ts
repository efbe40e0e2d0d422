import { expect, test } from "bun:test";
import fc from "fast-check";
import { meanHeight, robustness } from "../../../../src/evaluate/methods/attacks/relearn.ts";

test("the area under budgets is a mean height", () => {
  expect(meanHeight([0], [0.3])).toBe(0.3);
  expect(meanHeight([0, 5, 10, 20], [1, 1, 1, 1])).toBe(1);
  expect(meanHeight([0, 5, 20], [0, 1, 1])).toBeCloseTo(17.5 / 20, 12);
});

const more = { knowledge: "more" } as const;
const change = (before: number, after: number) => ({ before, after });
test("R is the rise of gold over that of the candidate, at most 1", () => {
  expect(robustness(more, change(0.1, 0.5), change(0.1, 0.3))).toBeCloseTo(0.5, 12);
  expect(robustness(more, change(0.1, 0.2), change(0.1, 0.3))).toBe(1);
  expect(robustness({ knowledge: "less" }, change(5, 1), change(6, 5))).toBeCloseTo(0.25, 12);
  expect(robustness({}, change(0, 1), change(0, 1))).toBeNaN();
});
test("no recovery at all counts 1, recovery where gold learns nothing 0", () => {
  expect(robustness(more, change(0.5, 0.5), change(0.5, 0.5))).toBe(1);
  expect(robustness(more, change(0.5, 0.4), change(0.5, 0.6))).toBe(1);
  expect(robustness(more, change(0.5, 0.6), change(0.5, 0.5))).toBe(0);
  expect(robustness(more, change(0.5, 0.6), change(0.5, 0.2))).toBe(0);
});
test("R is a share and does not depend on the unit", () => {
  const x = fc.integer({ min: -50, max: 50 });
  fc.assert(
    fc.property(x, x, x, x, fc.integer({ min: 1, max: 9 }), (a, b, c, d, unit) => {
      const r = robustness(more, change(a, b), change(c, d));
      expect(r).toBeWithin(0, 1 + 1e-12);
      expect(robustness(more, change(unit * a, unit * b), change(unit * c, unit * d))).toBeCloseTo(r, 12);
      expect(robustness({ knowledge: "less" }, change(-a, -b), change(-c, -d))).toBeCloseTo(r, 12);
    }),
  );
});
