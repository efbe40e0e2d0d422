/**
 * Estimates of a policy from decisions of another one, on a world whose true values are known: no bias, and the
 * variance that each is to have; and outcomes without what confounders explain.
 */
import { describe, expect, test } from "bun:test";
import { deconfounded, type Observed } from "../../../src/align/logged/deconfound.ts";
import { type Decided, estimates } from "../../../src/align/logged/estimators.ts";
import { foldsOf } from "../../../src/align/logged/folds.ts";
import { inner, ridge } from "../../../src/align/logged/ridge.ts";
import type { LoggedRow } from "../../../src/align/logged/rows.ts";
import { expectedRewards } from "../../../src/align/logged/value-model.ts";
import { normals, randomUnits } from "../../support/random.ts";

const ACTIONS = 3;
const MEANS = [0.2, 0.5, 0.9];
const LOGGING = [0.6, 0.3, 0.1];
const POLICY = [0.1, 0.2, 0.7];
const TRUE = POLICY.reduce((sum, p, a) => sum + p * MEANS[a]!, 0);

/** Decisions of the logging policy in a world of one context; `model` is what it believes of each action. */
function decisions(seed: number, count: number, model: readonly number[], policy = POLICY): Decided[] {
  const unit = randomUnits(seed);
  return Array.from({ length: count }, () => {
    let left = unit();
    let action = LOGGING.findIndex((p) => {
      left -= p;
      return left < 0;
    });
    if (action < 0) action = ACTIONS - 1;
    return {
      probability: policy[action]!,
      propensity: LOGGING[action]!,
      reward: Number(unit() < MEANS[action]!),
      expected: model[action]!,
      expectedMean: policy.reduce((sum, p, a) => sum + p * model[a]!, 0),
    };
  });
}

const SEEDS = Array.from({ length: 200 }, (_, i) => i + 1);
const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
const deviation = (values: readonly number[]) => Math.sqrt(mean(values.map((x) => (x - mean(values)) ** 2)));

describe("over many logs", () => {
  const wrong = [0.9, 0.1, 0.2];
  const logs = (model: readonly number[]) => SEEDS.map((seed) => estimates(decisions(seed, 200, model), 1e9));
  const right = logs(MEANS);
  const off = logs(wrong);
  const away = (found: ReturnType<typeof logs>, name: "ips" | "dr" | "dm" | "snips") => {
    const values = found.map((one) => one[name].value);
    return Math.abs(mean(values) - TRUE) / (deviation(values) / Math.sqrt(values.length) + 1e-12);
  };
  test("inverse propensities and doubly robust are right in the mean, with a wrong model too", () => {
    for (const [found, name] of [
      [right, "ips"],
      [right, "dr"],
      [off, "dr"],
    ] as const)
      expect(away(found, name)).toBeLessThan(3.5);
    expect(away(off, "dm")).toBeGreaterThan(100);
  });
  test("a right model makes doubly robust vary less than inverse propensities", () => {
    const spread = (name: "ips" | "dr") => deviation(right.map((one) => one[name].value));
    expect(spread("dr")).toBeLessThan(0.8 * spread("ips"));
  });
  test("errors are those that repetition shows, and weights count as fewer rows", () => {
    const values = right.map(({ ips }) => ips.value);
    expect(mean(right.map(({ ips }) => ips.error)) / deviation(values)).toBeCloseTo(1, 0);
    expect(mean(right.map(({ snips }) => snips.error)) / deviation(right.map(({ snips }) => snips.value))).toBeCloseTo(
      1,
      0,
    );
    const expectedShare = 1 / LOGGING.reduce((sum, m, a) => sum + POLICY[a]! ** 2 / m, 0);
    expect(mean(right.map(({ effective }) => effective)) / 200).toBeCloseTo(expectedShare, 1);
  });
});

test("the policy that was logged is worth the mean reward, by every estimate that weighs rows", () => {
  const rows = decisions(3, 500, [0.4, 0.4, 0.4], LOGGING);
  const logged = mean(rows.map(({ reward }) => reward));
  const { ips, snips, dr, effective } = estimates(rows, 100);
  for (const { value } of [ips, snips, dr]) expect(value).toBeCloseTo(logged, 10);
  expect(effective).toBeCloseTo(500, 6);
});

test("weights are cut at the bound", () => {
  const rows = decisions(5, 300, MEANS);
  const bounded = estimates(rows, 1);
  const by = mean(rows.map(({ probability, propensity, reward }) => Math.min(1, probability / propensity) * reward));
  expect(bounded.ips.value).toBeCloseTo(by, 12);
  expect(bounded.ips.value).toBeLessThan(estimates(rows, 100).ips.value);
});

describe("ridge", () => {
  const x = Array.from({ length: 40 }, (_, i) => Float64Array.of(1, ...normals(i + 1, 3)));
  const truth = [2, -1, 0.5, 3];
  const y = x.map((row) => inner(row, truth));
  test("finds what made the numbers, the less exactly the larger the penalty", () => {
    const found = ridge(x, y, 1e-9);
    for (const [i, value] of truth.entries()) expect(found[i]).toBeCloseTo(value, 6);
    expect(Math.abs(ridge(x, y, 100)[3]!)).toBeLessThan(2);
  });
  test("refuses columns that depend on each other without a penalty", () => {
    const twice = x.map((row) => Float64Array.of(1, row[1]!, row[1]!));
    expect(() => ridge(twice, y, 0)).toThrow("depend on each other");
  });
});

test("folds have sizes that differ by one, and hang on seed and count alone", () => {
  const fold = foldsOf(23, 5, 1);
  const sizes = Array.from({ length: 5 }, (_, k) => fold.filter((own) => own === k).length);
  expect(Math.max(...sizes) - Math.min(...sizes)).toBe(1);
  expect(foldsOf(23, 5, 1)).toEqual(fold);
  expect(foldsOf(23, 5, 2)).not.toEqual(fold);
});

test("the model of rewards is fitted on other rows than it speaks of", () => {
  const unit = randomUnits(4);
  const rows: LoggedRow[] = Array.from({ length: 60 }, (_, i) => {
    const x = Float32Array.of(2 * unit() - 1);
    const action = i % 2;
    return { x, action, propensity: 0.5, reward: action === 0 ? x[0]! : -2 * x[0]!, group: 0, place: `${i}` };
  });
  const options = { actions: 3, folds: 5, penalty: 1e-6, seed: 0 };
  const expected = expectedRewards(rows, options);
  for (const [i, { x }] of rows.entries()) {
    expect(expected[i]![0]).toBeCloseTo(x[0]!, 3);
    expect(expected[i]![1]).toBeCloseTo(-2 * x[0]!, 3);
  }
  // What one row brought says nothing of that row.
  const odd = rows.map((row, i) => (i === 7 ? { ...row, reward: 1e3 } : row));
  expect(expectedRewards(odd, options)[7]).toEqual(expected[7]!);
});

describe("outcomes without confounders", () => {
  /** "vivid" helps by 1 and is used at bad hours; "wow" does nothing and is used by popular authors. */
  function world(confounded: boolean): Observed[] {
    const unit = randomUnits(11);
    return Array.from({ length: 400 }, () => {
      const popular = unit() < 0.5;
      const late = unit() < 0.5;
      const wow = unit() < (confounded && popular ? 0.8 : confounded ? 0.2 : 0.5);
      const vivid = unit() < (confounded && late ? 0.8 : confounded ? 0.2 : 0.5);
      const noise = unit() + unit() - 1;
      return {
        text: ["a note", ...(wow ? ["wow"] : []), ...(vivid ? ["vivid"] : [])].join(" "),
        outcome: 3 * Number(popular) - 3 * Number(late) + Number(vivid) + 0.5 * noise,
        confounders: { author: popular ? "known" : "new", late },
      };
    });
  }
  const effect = (rows: readonly Observed[], outcomes: ArrayLike<number>, word: string) => {
    const of = (has: boolean) =>
      mean([...rows.keys()].filter((i) => rows[i]!.text.includes(word) === has).map((i) => outcomes[i]!));
    return of(true) - of(false);
  };
  const OPTIONS = { folds: 5, penalty: 1, words: 20, seed: 0 };
  test("the word that does nothing looks best before, and the one that helps after", () => {
    const rows = world(true);
    const naive = rows.map(({ outcome }) => outcome);
    expect(effect(rows, naive, "wow")).toBeGreaterThan(1);
    expect(effect(rows, naive, "vivid")).toBeLessThan(0);
    const { outcomes, explained } = deconfounded(rows, OPTIONS);
    expect(Math.abs(effect(rows, outcomes, "wow"))).toBeLessThan(0.15);
    expect(effect(rows, outcomes, "vivid")).toBeCloseTo(1, 0);
    expect(explained).toBeGreaterThan(0.7);
    expect(mean([...outcomes])).toBeCloseTo(mean(naive), 8);
  });
  test("without confounding both rank alike", () => {
    const rows = world(false);
    const { outcomes } = deconfounded(rows, OPTIONS);
    const naive = rows.map(({ outcome }) => outcome);
    for (const of of [naive, outcomes])
      expect(effect(rows, of, "vivid")).toBeGreaterThan(effect(rows, of, "wow") + 0.4);
  });
  test("no confounder takes nothing off", () => {
    const rows = world(true).map((row) => ({ ...row, confounders: {} }));
    const { outcomes, explained } = deconfounded(rows, OPTIONS);
    expect([...outcomes]).toEqual(rows.map(({ outcome }) => outcome));
    expect(explained).toBe(0);
  });
});
