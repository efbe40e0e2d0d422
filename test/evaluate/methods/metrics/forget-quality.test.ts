import { expect, test } from "bun:test";
import { method as forgetQuality } from "../../../../src/evaluate/methods/metrics/forget-quality.ts";
import { CONTEXT, metricDetails, metricValue, truthRow } from "../../../support/scored-rows.ts";

test("compares the forget group with gold's, and asks for gold", () => {
  const rows = [truthRow(0.5, [0.1]), truthRow(0.5, [0.2]), truthRow(0.1, [0.9], 1)];
  expect(metricValue(forgetQuality, rows, { ...CONTEXT, gold: rows })).toBe(1);
  const gold = [truthRow(0.1, [0.5]), truthRow(0.1, [0.6])];
  expect(metricDetails(forgetQuality, rows, { ...CONTEXT, gold })).toEqual({ D: 1, n: 2 });
  expect(forgetQuality.gold).toBe("required");
});
