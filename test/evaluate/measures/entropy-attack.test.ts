import { expect, test } from "bun:test";
import { entropyOf, memberProbability } from "../../../src/evaluate/measures/entropy-attack.ts";
import { method as distance } from "../../../src/evaluate/methods/metrics/activation-distance.ts";
import { method as attack } from "../../../src/evaluate/methods/metrics/mia-entropy.ts";
import { jensenShannon, method as zrf } from "../../../src/evaluate/methods/metrics/zrf.ts";
import { metricDetails, metricValue, scoredRow } from "../../support/scored-rows.ts";

const row = (group: number, ...p: number[]) => scoredRow({ group, probabilities: Float32Array.from(p) });

test("entropy and divergence of known distributions", () => {
  expect(entropyOf([0.5, 0.5, 0])).toBeCloseTo(Math.LN2, 12);
  expect(entropyOf([1, 0])).toBe(0);
  expect(jensenShannon([1, 0], [0, 1])).toBeCloseTo(Math.LN2, 12);
  expect(jensenShannon([0.3, 0.7], [0.3, 0.7])).toBe(0);
  const same = { ...row(0, 1, 0), untrained: Float32Array.of(1, 0) };
  const other = { ...row(0, 1, 0), untrained: Float32Array.of(0, 1) };
  expect(metricValue(zrf, [same, other])).toBeCloseTo(1 - Math.LN2 / 2, 12);
});

test("the regression's threshold lies half way between two sets of one spread, whatever their sizes", () => {
  const near = [0.1, 0.2, 0.3, 0.4];
  const far = near.map((x) => x + 1);
  for (const members of [near, [...near, ...near, ...near]]) {
    const member = memberProbability(members, far);
    expect(member(0.75)).toBeCloseTo(0.5, 6);
    expect(member(0.2)).toBeGreaterThan(0.9);
    expect(member(1.2)).toBeLessThan(0.1);
  }
  const unknown = memberProbability([0.5, 0.5], [0.5]);
  expect(unknown(0.5)).toBeCloseTo(0.5, 12);
});

test("the share of rows to forget that looks learnt, with gold's beside it", () => {
  const context = { groups: ["forget", "retain", "holdout"], forget: "forget", holdout: "holdout" };
  const [sure, unsure] = [
    [0.99, 0.01],
    [0.6, 0.4],
  ];
  const rest = [row(1, ...sure!), row(1, 0.98, 0.02), row(2, ...unsure!), row(2, 0.55, 0.45)];
  const own = [row(0, ...sure!), row(0, ...sure!), row(0, ...unsure!), row(0, 0.97, 0.03)];
  const gold = [row(0, ...unsure!), row(0, ...unsure!), row(0, ...unsure!), row(0, ...sure!), ...rest];
  expect(metricValue(attack, [...own, ...rest], context)).toBe(0.75);
  expect(metricDetails(attack, [...own, ...rest], { ...context, gold })).toEqual({ "of gold": 0.25 });
});

test("distance from gold's probabilities, row by row", () => {
  const gold = [row(0, 0, 1), row(0, 1, 0)];
  const found = metricValue(distance, [row(0, 1, 0), row(0, 1, 0)], {
    groups: ["forget"],
    forget: "forget",
    holdout: "holdout",
    gold,
  });
  expect(found).toBeCloseTo(Math.SQRT1_2, 6);
});
