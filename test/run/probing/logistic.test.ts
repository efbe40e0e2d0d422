import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { topUnits } from "../../../src/run/fisher/unit-scores.ts";
import { logisticRegression } from "../../../src/run/probing/logistic.ts";

const rowsOf = (random: Random, count: number) =>
  Array.from({ length: count }, () => Float32Array.from({ length: 4 }, () => random.normal()));

test("reads three classes that lines part, and of noise nothing", () => {
  const random = new Random(1, "logistic");
  const [rows, others] = [rowsOf(random, 120), rowsOf(random, 120)];
  const labelOf = (row: Float32Array) => (row[0]! > 0.3 ? 0 : row[1]! > 0 ? 1 : 2);
  const shareOf = (label: (row: Float32Array) => number) => {
    const predict = logisticRegression(rows, rows.map(label), 3);
    return others.filter((row) => predict(row) === label(row)).length / others.length;
  };
  expect(shareOf(labelOf)).toBeGreaterThan(0.85);
  const coins = new Map<Float32Array, number>([...rows, ...others].map((row) => [row, random.below(3)]));
  expect(shareOf((row) => coins.get(row)!)).toBeLessThan(0.5);
});

test("values that never change, and their scale, change nothing", () => {
  const random = new Random(2, "logistic");
  const rows = rowsOf(random, 30);
  const labels = rows.map((row) => (row[2]! > 0 ? 1 : 0));
  const wide = (row: Float32Array) => Float32Array.of(...row.map((x) => 1000 * x + 7), 5);
  const [plain, other] = [logisticRegression(rows, labels, 2), logisticRegression(rows.map(wide), labels, 2)];
  for (const row of rowsOf(random, 20)) if (Math.abs(row[2]!) > 0.3) expect(other(wide(row))).toBe(plain(row));
});

test("the top units are those of the largest scores over all weights, at least one", () => {
  const scores = [Float32Array.of(1, 5, 2), Float32Array.of(4, 5)];
  expect(topUnits(scores, 0.4)).toEqual([[1], [1]]);
  expect(topUnits(scores, 0.6)).toEqual([[1], [1, 0]]);
  expect(topUnits(scores, 0.001)).toEqual([[1], []]);
});
