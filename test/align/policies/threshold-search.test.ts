/** The search for thresholds: its simplex, what it does with a policy that follows them, and its state. */
import { describe, expect, test } from "bun:test";
import { nelderMead } from "../../../src/align/policies/reward-weights/nelder-mead.ts";
import { ThresholdSearch } from "../../../src/align/policies/reward-weights/threshold-search.ts";

/** What a search asks of a function, in order. */
function asked(value: (point: readonly number[]) => number, start: number[], steps: number[], count: number) {
  const search = nelderMead(start, steps);
  const points = [search.next().value];
  while (points.length < count) points.push(search.next(value(points.at(-1)!)).value);
  return points;
}

describe("the simplex", () => {
  test("climbs to the top of hills of one, two and three numbers", () => {
    const top = [0.7, -1.3, 2.1];
    for (const size of [1, 2, 3]) {
      const own = top.slice(0, size);
      const hill = (x: readonly number[]) => -x.reduce((sum, xi, i) => sum + (1 + i) * (xi - own[i]!) ** 2, 0);
      const points = asked(hill, Array(size).fill(0), Array(size).fill(0.3), 60 * size);
      const best = points.toSorted((a, b) => hill(b) - hill(a))[0]!;
      for (const [i, x] of best.entries()) expect(Math.abs(x - own[i]!)).toBeLessThan(1e-3);
    }
  });

  test("reflects the worst point at the others' centre, grows where that is best, and shrinks where nothing helps", () => {
    const line = asked(([x]) => x!, [0], [1], 4); // 0, 1, then away from 0 and further
    expect(line).toEqual([[0], [1], [2], [3]]);
    // Worst everywhere but at the start: inside of the simplex, then all towards the best point.
    const peak = asked((x) => (x.every((xi) => xi === 0) ? 1 : 0), [0, 0], [1, 1], 7);
    const inside = [0.5 * 0.5, 0.5 * 1]; // half the way from the worst point to the centre of the others
    expect(peak[4]!.toSorted()).toEqual(inside);
    expect(peak.slice(5).map((own) => own.toSorted())).toEqual([[0, 0.5], [0, 0.5]]); // biome-ignore format: a matrix
  });
});

const SETUP = { names: ["a", "b"], thresholds: [0.2, 0.2], constraint: "geq", rate: 1, momentum: 0, seed: 1 } as const;
const TUNING = { gold: [2], steps: [0.2, 0.2], patience: 30, window: 2, near: 0.02 };

/** A policy whose rewards follow their thresholds; gold is best at 0.6 and 0.4. */
function follow(search: ThresholdSearch, rollouts: number, means = [0.1, 0.1]): number[] {
  for (let i = 0; i < rollouts; i++) {
    const told = search.told();
    for (const [k, name] of ["a", "b"].entries()) means[k]! += 0.5 * (told[`threshold.${name}`]! - means[k]!);
    search.heard([...means, 1 - (means[0]! - 0.6) ** 2 - (means[1]! - 0.4) ** 2]);
  }
  return means;
}

describe("the search for thresholds", () => {
  test("leads rewards to where the gold score is best, and tells what they were there", () => {
    const search = new ThresholdSearch(SETUP, TUNING);
    expect(search.told()).toMatchObject({ tried_thresholds: 0, "threshold.a": 0.2, "threshold.b": 0.2 });
    follow(search, 300);
    const told = search.told();
    expect(Math.abs(told["best_threshold.a"]! - 0.6)).toBeLessThan(0.06);
    expect(Math.abs(told["best_threshold.b"]! - 0.4)).toBeLessThan(0.06);
    expect(told.best_gold).toBeGreaterThan(2 * (1 - 0.006));
    expect(search.said()).toMatch(/^best of \d+: --thresholds 0\.\d{3},0\.\d{3} \(gold (1\.99\d|2\.000)\)$/);
    // Points near each other are tried once; in the end the best one is held.
    follow(search, 300);
    const { tried_thresholds: tried } = search.told();
    follow(search, 100);
    expect(search.told().tried_thresholds).toBe(tried!);
    expect(search.told()["threshold.a"]).toBe(search.told()["best_threshold.a"]!);
  });

  test("gives a point up that is not reached", () => {
    const search = new ThresholdSearch(SETUP, { ...TUNING, patience: 5 });
    for (let i = 0; i < 20; i++) search.heard([0, 0, i]);
    expect(search.told()).toMatchObject({ tried_thresholds: 4, best_gold: 2 * 18.5, "best_threshold.a": 0 });
  });

  test("goes on from its state, and refuses a damaged one", () => {
    const whole = new ThresholdSearch(SETUP, TUNING);
    const parts = new ThresholdSearch(SETUP, TUNING);
    const means = follow(parts, 37);
    const rest = new ThresholdSearch(SETUP, TUNING);
    rest.load(JSON.parse(JSON.stringify(parts.state())));
    follow(rest, 40, means);
    follow(whole, 77);
    expect(rest.state()).toEqual(whole.state());
    expect(rest.told()).toEqual(whole.told());
    expect(() => rest.load({ found: [1] })).toThrow("the search for thresholds is damaged");
  });
});
