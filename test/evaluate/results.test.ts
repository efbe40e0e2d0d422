import { expect, test } from "bun:test";
import { method as forgetQuality } from "../../src/evaluate/methods/metrics/forget-quality.ts";
import { method as loss } from "../../src/evaluate/methods/metrics/loss.ts";
import { longTable, results, type Scored } from "../../src/evaluate/results.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { EvaluationRow } from "../../src/run/evaluation/row.ts";
import type { ScoredRow } from "../../src/run/scoring/scored-row.ts";
import { CONTEXT, scoredRow, truthRow } from "../support/scored-rows.ts";

const rowsOf = (...losses: number[]) => losses.map((x) => scoredRow({ nll: [x] }));
const ONE = { ...CONTEXT, groups: ["forget"] };
const scored = (lists: Record<string, readonly ScoredRow[]>, gold?: readonly ScoredRow[]): Scored => ({
  models: Object.entries(lists).map(([ref, rows]) => ({ ref, rows })),
  gold: gold && "gold/",
  context: { ...ONE, ...(gold ? { gold } : {}) },
});
const lossOf = (given: Scored, draws = 0): EvaluationRow[] => results(given, [bindDefaults(loss)], { draws, seed: 0 });

test("every model is compared with the first, on the rows that both are measured on", () => {
  const cut = scoredRow({ nll: [] });
  const [a, b] = lossOf(scored({ a: rowsOf(1, 2, 3), b: [...rowsOf(2), cut, ...rowsOf(4)] }), 50);
  expect(a).toMatchObject({ model: "a", value: 2, rows: 3 });
  expect(a!.difference).toBeUndefined();
  expect(b).toMatchObject({ model: "b", value: 3, rows: 2, difference: 1 });
  // On the two rows that both have, b is above a by 1 each: no resample says anything else.
  expect(b!.difference_interval).toEqual([1, 1]);
});

test("intervals hold the value, and depend on the seed alone", () => {
  const given = scored({ a: rowsOf(1, 2, 3, 4, 5, 6) });
  const [row] = lossOf(given, 200);
  const [low, high] = row!.interval!;
  expect(low).toBeLessThan(3.5);
  expect(high).toBeGreaterThan(3.5);
  expect(lossOf(given, 200)[0]!.interval).toEqual(row!.interval!);
  expect(lossOf(given)[0]!.interval).toBeUndefined();
});

test("the gold model has a row, and the others say how far they are from it", () => {
  const rows = lossOf(scored({ a: rowsOf(3), b: rowsOf(1) }, rowsOf(2)));
  expect(rows.map(({ model, metric, value }) => [model, metric, Math.round(value)])).toEqual([
    ["a", "loss", 3],
    ["gold/", "loss", 2],
    ["a", "loss % from gold", 50],
    ["b", "loss", 1],
    ["b", "loss % from gold", -50],
  ]);
});

test("a metric that compares with gold itself has neither, and no interval where it says so", () => {
  const rows = [truthRow(0.5, [0.1]), truthRow(0.5, [0.2])];
  const found = results(scored({ a: rows }, rows), [bindDefaults(forgetQuality)], { draws: 20, seed: 0 });
  expect(found.map(({ metric }) => metric)).toEqual(["forget-quality", "forget-quality D", "forget-quality n"]);
  expect(found[0]!.interval).toBeUndefined();
});

test("a table names models where there are several", () => {
  const [one] = lossOf(scored({ a: rowsOf(1) }));
  expect(longTable([one!], ["a"])[0]).toEqual(["group", "metric", "value", "95 %", "rows"]);
  expect(longTable([one!], ["a", "b"])[0]).toEqual([
    "model",
    "group",
    "metric",
    "value",
    "95 %",
    "difference",
    "95 %",
    "rows",
  ]);
});
