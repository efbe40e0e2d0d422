import { expect, test } from "bun:test";
import { harmonicMean } from "../../../../src/evaluate/measures/means.ts";
import { method as utility } from "../../../../src/evaluate/methods/metrics/model-utility.ts";
import { CONTEXT, metricDetails, metricValue, truthRow } from "../../../support/scored-rows.ts";

const row = (group: number, p: number) => ({
  ...truthRow(1, [1 - p], group),
  nll: Float32Array.of(-Math.log(p)),
  options: { right: [-Math.log(p)], wrong: [-Math.log(1 - p)] },
  generated: { expected: "a b c d", found: "a b" },
});
const groups = ["forget", "retain", "real-authors", "world"];

test("is the harmonic mean of the nine numbers", () => {
  const rows = [row(0, 0.9), row(1, 0.5), row(2, 0.5), row(3, 0.5)];
  expect(metricValue(utility, rows, { ...CONTEXT, groups })).toBeCloseTo(0.5, 6);
  const details = metricDetails(utility, rows, { ...CONTEXT, groups });
  expect(Object.keys(details)).toHaveLength(9);
  expect(details["real normalised probability"]).toBeCloseTo(0.5, 6);
});

test("uses the groups that are there, and says which", () => {
  const rows = [row(0, 0.9), row(1, 0.25)];
  const context = { ...CONTEXT, groups: ["forget", "retain"] };
  expect(Object.keys(metricDetails(utility, rows, context))).toEqual([
    "retain probability",
    "retain rouge-l",
    "retain truth ratio",
  ]);
  expect(metricValue(utility, rows, context)).toBeCloseTo(3 / (4 + 2 + 4), 6);
  expect(() => utility.check!(CONTEXT.groups)).toThrow("needs a group named retain, real or world");
});

test("any zero makes it zero", () => {
  expect(harmonicMean([1, 0, 1])).toBe(0);
  expect(harmonicMean([0.25, 0.25])).toBe(0.25);
});
