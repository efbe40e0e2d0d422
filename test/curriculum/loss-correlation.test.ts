/** Correlations of losses with scores against sums by hand, and shares of a budget; and the command on files. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bestShares, lossCorrelation } from "../../src/curriculum/loss-correlation.ts";
import { Random } from "../../src/data/random.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-correlate-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the sum over pairs by hand, its ends, and what outliers and other scales do", () => {
  // Likelihoods have the ranks 2, 1, 0.
  const scores = [1, 3, 2];
  let wanted = 0;
  for (const [k, rank] of [2, 1, 0].entries())
    for (const [l, other] of [2, 1, 0].entries()) wanted += Math.sign(scores[k]! - scores[l]!) * (rank - other);
  expect(lossCorrelation([1, 2, 3], scores, "sign-rank")).toBeCloseTo(wanted / 8, 12);
  expect(wanted).toBe(-4); // 2 (-1) for the first and second, 2 (-2) for the first and last, 2 (+1) for the others
  for (const by of ["sign-rank", "spearman"] as const) {
    expect(lossCorrelation([4, 3, 2, 1], [0.1, 0.2, 0.3, 0.4], by)).toBeCloseTo(1, 12);
    expect(lossCorrelation([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], by)).toBeCloseTo(-1, 12);
    expect(lossCorrelation([1, 1, 1], [0.1, 0.2, 0.3], by)).toBe(0);
    expect(lossCorrelation([4, 3, 2, 1e6], [1, 2, 3, 0], by)).toBe(lossCorrelation([4, 3, 2, 5], [-9, 8, 70, -70], by));
  }
});

test("the largest correlations first, each up to its size; equal ones share", () => {
  expect(bestShares([0.1, 0.9, -0.5], [10, 4, 10], 8)).toEqual([0.5, 0.5, 0]);
  expect(bestShares([0.9, 0.9, 0], [6, 2, 9], 4)).toEqual([0.75, 0.25, 0]);
  expect(bestShares([1, 0.5], [3, 3], 6)).toEqual([0.5, 0.5]);
  // No other shares below the sizes have a larger sum.
  const random = new Random("shares");
  const [gamma, sizes] = [0, 1].map(() => Array.from({ length: 5 }, () => random.uniform()));
  const budget = 0.6 * sizes!.reduce((a, b) => a + b, 0);
  const value = (shares: readonly number[]) => shares.reduce((sum, share, j) => sum + share * gamma![j]!, 0);
  const best = bestShares(gamma!, sizes!, budget);
  expect(best.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  for (let i = 0; i < 200; i++)
    expect(
      value(
        bestShares(
          gamma!.map(() => random.uniform()),
          sizes!,
          budget,
        ),
      ),
    ).toBeLessThanOrEqual(value(best) + 1e-12);
});

const MODELS = 12;
const figures = (name: string, rows: readonly unknown[]): string => {
  writeFileSync(join(folder, name), JSON.stringify({ rows }));
  return name;
};
const random = new Random("models");
const skill = Array.from({ length: MODELS }, () => random.uniform());
const losses = figures(
  "losses.json",
  skill.flatMap((own, i) =>
    Object.entries({ useful: 3 - own, noise: 2 + random.uniform(), harmful: 1 + own, all: 2 }).map(
      ([group, value]) => ({
        ...{ model: `m${i}`, group, metric: "loss", value, better: "lower" },
      }),
    ),
  ),
);
const scores = figures(
  "scores.json",
  skill.map((own, i) => ({ model: `m${i}`, group: "test", metric: "accuracy", value: own / 2, better: "higher" })),
);
const run = (line: string) => runScript("curriculum", ["correlate", ...line.split(" "), "-q"], folder);

test("the command finds the group whose loss goes with skill, and leaves out the one against it", async () => {
  const { text, code } = await run(
    `${losses} --scores ${scores} --sizes useful=300,noise=300,harmful=300 --budget 400`,
  );
  expect(code).toBe(0);
  const { groups, mixture, correlations, of_mixture } = JSON.parse(text);
  expect(groups).toEqual(["useful", "noise", "harmful"]);
  expect(mixture).toEqual([0.75, 0.25, 0]);
  expect([correlations[0], correlations[2]]).toEqual([1, -1]);
  expect(Math.abs(correlations[1])).toBeLessThan(0.7);
  expect(of_mixture).toBeGreaterThan(0.7);
});

const two = figures(
  "two.json",
  [1, 2].map((i) => ({ model: `m${i}`, group: "a", metric: "loss", value: i, better: "lower" })),
);
const alike = figures(
  "alike.json",
  skill.map((_, i) => ({ model: `m${i}`, group: "test", metric: "accuracy", value: 0.5, better: "higher" })),
);
test.each([
  [losses, "correlate needs --scores"],
  [`${two} --scores ${scores}`, "two.json has 2 models"],
  [`${losses} --scores ${two}`, "two.json has no score of m0"],
  [`${losses} --scores ${alike}`, "all models score alike"],
  [`${losses} --scores ${scores} --sizes useful=3`, "--sizes says nothing of noise"],
  [`${losses} --scores ${scores} --sizes web=3`, "there is no group web"],
  [`${losses} --scores ${scores} --budget 9`, "--budget 9: all groups have 3"],
  [`${losses} --scores ${scores} --loss-metric perplexity`, "losses.json has no perplexity"],
])("refuses %s", async (line, message) => {
  const { err, code } = await run(line);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
