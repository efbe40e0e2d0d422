import { expect, test } from "bun:test";
import { method as choice } from "../../../src/evaluate/methods/metrics/choice.ts";
import { method as loss } from "../../../src/evaluate/methods/metrics/loss.ts";
import { method as byLoss } from "../../../src/evaluate/methods/metrics/membership/mia-loss.ts";
import { method as truthRatio } from "../../../src/evaluate/methods/metrics/truth-ratio.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { countedRows, measured, partsOf } from "../../../src/run/measuring/measure.ts";
import { CONTEXT, scoredRow, truthRow } from "../../support/scored-rows.ts";

const CUT = scoredRow({ nll: [] });

test("rows without a loss are left out of every list that holds the same rows", () => {
  const [a, b] = [scoredRow(), scoredRow({ group: 1 })];
  expect(countedRows(loss, [a, CUT, b], [a, b, CUT])).toEqual([[a], [a]]);
  expect(countedRows(loss, [a, CUT, b], [CUT, b])).toEqual([[a, b], [b]]);
  expect(countedRows(loss, [a, CUT], undefined)).toEqual([[a], undefined]);
});

test("a row counts without a loss where the metric measures something else of it", () => {
  const row = { ...truthRow(0.5, [0.5]), nll: new Float32Array(), targets: new Int32Array() };
  expect(countedRows(truthRatio, [row])).toEqual([[row]]);
});

test("a question counts only where all of its choices were scored", () => {
  const known = scoredRow({
    choice: { losses: [1, 2], tokens: [1, 1], bytes: [1, 1], isGreedy: [true, false], expected: 0 },
  });
  expect(countedRows(choice, [known, scoredRow()])).toEqual([[known]]);
});

test("metrics are measured over all rows and over every group, those that compare groups once", () => {
  const rows = [scoredRow({ nll: [1] }), scoredRow({ nll: [3], group: 1 })];
  const found = measured(rows, [bindDefaults(loss), bindDefaults(byLoss)], CONTEXT);
  expect(found.map(({ group, metric, value }) => [metric.name, group, value])).toEqual([
    ["loss", "all", 2],
    ["loss", "forget", 1],
    ["loss", "holdout", 3],
    ["mia-loss", "all", 1],
  ]);
  expect(partsOf(["one"]).map(({ name }) => name)).toEqual(["all"]);
});
