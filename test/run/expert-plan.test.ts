/** Plans of experts over workers: every row once, no worker too full, nothing moved where loads are even. */
import { describe, expect, test } from "bun:test";
import { keyedUnits } from "../../src/keyed-random.ts";
import { type ExpertPlan, homeOf, imbalance, leastLoadedPlan, staticPlan } from "../../src/run/expert-plan.ts";

const options = { workers: 4, alpha: 1.1, leastRows: 1, lambda: 1.3 };

const drawn = (name: string, experts: number, power: number): number[] => {
  const unit = keyedUnits(0, name);
  return Array.from({ length: experts }, () => Math.floor(2000 * unit() ** power));
};

const CASES: Readonly<Record<string, readonly number[]>> = {
  "rather even": drawn("even", 16, 0.5),
  "some hot": drawn("hot", 16, 4),
  "one expert alone": [0, 0, 5000, 0, 0, 0, 0, 0],
  "experts that workers do not divide": drawn("odd", 13, 3),
  "few rows": [3, 0, 1, 9],
};

/** Each row of each expert, and who computes it. */
function rowsOf({ chunks }: ExpertPlan): Map<string, number> {
  const rows = new Map<string, number>();
  for (const { expert, worker, begin, count } of chunks)
    for (let i = begin; i < begin + count; i++) {
      const key = `${expert}:${i}`;
      expect(rows.has(key)).toBe(false);
      rows.set(key, worker);
    }
  return rows;
}

describe.each(Object.keys(CASES))("%s", (name) => {
  const counts = CASES[name]!;
  const total = counts.reduce((a, b) => a + b, 0);
  const most = (1.1 * total) / 4;

  test.each([1, 100])("every row has one worker, with chunks of %d rows and more", (leastRows) => {
    const plan = leastLoadedPlan(counts, { ...options, leastRows });
    const rows = rowsOf(plan);
    expect(rows.size).toBe(total);
    for (const [expert, count] of counts.entries())
      for (const i of [0, count - 1]) if (count > 0) expect(rows.has(`${expert}:${i}`)).toBe(true);
    expect(plan.loads.reduce((a, b) => a + b, 0)).toBe(total);
    for (const { expert, worker } of plan.transfers) expect(worker).not.toBe(homeOf(expert, counts.length, 4));
  });

  test("no worker has more than its part, or than the even part and chunks that are too small to move", () => {
    const plain = staticPlan(counts, 4);
    const free = leastLoadedPlan(counts, options);
    const large = leastLoadedPlan(counts, { ...options, leastRows: 100 });
    if (imbalance(plain) <= 1.3) expect(free).toEqual(plain);
    else {
      // Workers that hold whole rows may each be a row short of their part.
      expect(Math.max(...free.loads)).toBeLessThanOrEqual(most + 4);
      expect(Math.max(...large.loads)).toBeLessThanOrEqual(most + 4 * 100);
    }
    expect(imbalance(free)).toBeLessThanOrEqual(imbalance(plain));
  });

  test("results are those of experts at home, bit for bit", () => {
    const weight = (expert: number) => Math.fround(Math.sin(expert + 1));
    const row = (expert: number, i: number) => Math.fround(Math.cos(expert + 0.1 * i));
    const run = (plan: ExpertPlan) => {
      const out = new Map<string, number>();
      for (const key of rowsOf(plan).keys()) {
        const [expert = 0, i = 0] = key.split(":").map(Number);
        out.set(key, Math.fround(weight(expert) * row(expert, i)));
      }
      return [...out].sort(([a], [b]) => (a < b ? -1 : 1));
    };
    expect(run(leastLoadedPlan(counts, options))).toEqual(run(staticPlan(counts, 4)));
  });
});

test("even counts move nothing, whatever the threshold", () => {
  const plan = leastLoadedPlan([50, 50, 50, 50], { ...options, lambda: 1 });
  expect(plan.transfers).toEqual([]);
  expect(plan.loads).toEqual([50, 50, 50, 50]);
});

test("one hot expert is shared out; small chunks stay at home", () => {
  const plan = leastLoadedPlan([400, 0, 0, 0], options);
  expect(plan.loads).toEqual([110, 110, 110, 70]);
  expect(plan.transfers.map(({ worker, count }) => [worker, count])).toEqual([
    [1, 110],
    [2, 110],
    [3, 70],
  ]);
  // No worker has room for 200 rows, and the rest does not fit: it goes to the least loaded as a whole.
  expect(leastLoadedPlan([400, 0, 0, 0], { ...options, leastRows: 200 }).loads).toEqual([110, 290, 0, 0]);
});

test("odd counts and workers are refused", () => {
  expect(() => leastLoadedPlan([1.5, 2], { ...options, workers: 2 })).toThrow("an expert has 1.5 rows");
  expect(() => leastLoadedPlan([1, 2], options)).toThrow("2 experts on 4 workers");
});
