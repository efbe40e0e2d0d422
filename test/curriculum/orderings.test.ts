/** Orders of rows: what each does. */
import { expect, test } from "bun:test";
import type { OrderingMethod } from "../../src/curriculum/contract.ts";
import { cycleShares } from "../../src/curriculum/cycles.ts";
import { method as competence } from "../../src/curriculum/methods/orderings/competence.ts";
import { method as cyclical } from "../../src/curriculum/methods/orderings/cyclical.ts";
import { method as length } from "../../src/curriculum/methods/orderings/length.ts";
import { method as quality } from "../../src/curriculum/methods/orderings/quality.ts";
import { method as selfPaced } from "../../src/curriculum/methods/orderings/self-paced.ts";
import { competenceAt, easiest, ranked } from "../../src/curriculum/ranked-rows.ts";
import { Random } from "../../src/data/random.ts";
import { permutation } from "../../src/data/shuffle.ts";
import { bindDefaults } from "../../src/method/bind.ts";

// biome-ignore lint/suspicious/noExplicitAny: methods differ in their options
type AnyOrdering = OrderingMethod<any>;
const N = 200;
const random = new Random(1, "rows");
const lengths = Int32Array.from({ length: N }, () => 1 + random.below(400));
const scores = Float64Array.from({ length: N }, () => 0.1 + 4 * random.uniform());

interface Given {
  readonly done?: number;
  readonly epoch?: number;
  readonly seed?: number;
  readonly scores?: ArrayLike<number>;
  readonly values?: Record<string, unknown>;
}
const rows = (method: AnyOrdering, { values: settings, ...given }: Given = {}): number[] => {
  const { values } = bindDefaults(method, settings);
  method.check?.(values, lengths);
  return [...method.rows({ lengths, scores, done: 0, epoch: 0, seed: 7, ...given, values })];
};
const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const all = Array.from({ length: N }, (_, i) => i);

test("pools: ranks are stable, unknown scores last, shares of rows at least one", () => {
  expect([...ranked([2, 1, Number.NaN, 1, 0])]).toEqual([4, 1, 3, 0, 2]);
  expect([...ranked([2, 1, Number.NaN, 1, 0], "largest")]).toEqual([0, 1, 3, 4, 2]);
  const order = Uint32Array.of(5, 6, 7, 8);
  expect([0, 0.5, 0.74, 0.75, 1, 2].map((share) => easiest(order, share).length)).toEqual([1, 2, 2, 3, 4, 4]);
  expect(easiest(Uint32Array.from(all), 0.29 * 100 * 0.01).length).toBe(58);
  expect(competenceAt(0, 0.1)).toBeCloseTo(0.1, 12);
  expect(competenceAt(1, 0.1)).toBeCloseTo(1, 12);
  expect(competenceAt(0.5, 0)).toBeCloseTo(Math.SQRT1_2, 12);
});

test("competence: the easiest c(t) of the rows, all of them in the end", () => {
  const at = (done: number, values = {}) => rows(competence, { done, values: { pass: 1, c0: 0.1, ...values } });
  const easy = [...ranked(scores)];
  expect(sorted(at(0))).toEqual(sorted(easy.slice(0, 20)));
  expect(at(0.25).length).toBe(Math.floor(N * Math.sqrt(0.5 * 0.99 + 0.01)));
  expect(at(0.5)).toEqual([...permutation(N, 7, 0)]);
  expect(sorted(at(0, { toward: "easy" }))).toEqual(sorted(easy.slice(-20)));
  expect(at(0.4, { pass: 0.1 })).toEqual(at(0.4).slice(0, 20));
});

test("length: limits that grow linearly, by the root, or in steps", () => {
  const longest = (done: number, values: Record<string, unknown>) =>
    Math.max(
      ...rows(length, { done, values: { pass: 1, start_length: 40, end_length: 360, over: 1, ...values } }).map(
        (row) => lengths[row]!,
      ),
    );
  const limit = (value: number) => Math.max(...lengths.filter((tokens) => tokens <= value));
  expect(longest(0, {})).toBe(limit(40));
  expect(longest(0.26, {})).toBe(limit(120)); // 123.2, down to a multiple of 8
  expect(longest(0.26, { multiple: 1 })).toBe(limit(123));
  expect(longest(0.25, { pacing: "root" })).toBe(limit(200));
  expect(longest(1, {})).toBe(limit(360));
  const discrete = { pacing: "discrete", stages: [50, 150], until: [0.2, 0.6] };
  expect([0, 0.19, 0.2, 0.59].map((done) => longest(done, discrete))).toEqual([50, 50, 150, 150].map(limit));
  expect(longest(0.6, discrete)).toBe(limit(360));
  const half = rows(length, { done: 0.5, values: { pacing: "competence", c0: 0, over: 1, pass: 1 } });
  expect(half.length).toBe(Math.floor(N * Math.SQRT1_2));
});

test("length: never an empty pool, all rows in the end, refuses limits that do not fit", () => {
  expect(rows(length, { values: { start_length: 1, end_length: 1 } }).length).toBeGreaterThan(0);
  expect(sorted(rows(length, { done: 1, values: { pass: 1 } }))).toEqual(all);
  expect(() => rows(length, { values: { start_length: 100, end_length: 50 } })).toThrow(
    "--end-length 50 is below --start-length 100",
  );
  const discrete = (stages: number[], until: number[]) => () =>
    rows(length, { values: { pacing: "discrete", stages, until } });
  expect(discrete([1, 2], [0.5])).toThrow("--stages 1,2 and --until 0.5 do not fit together");
  expect(discrete([1, 2], [0.5, 0.4])).toThrow("do not fit together");
  expect(discrete([], [])).toThrow("--stages (none)");
});

test("self-paced: the easiest share, or what is below a growing threshold", () => {
  const easy = [...ranked(scores)];
  expect(sorted(rows(selfPaced, { values: { start: 0.25 } }))).toEqual(sorted(easy.slice(0, 50)));
  expect(rows(selfPaced, { done: 0.25, values: { start: 0.2 } }).length).toBe(120);
  expect(rows(selfPaced, { done: 0.5 })).toEqual([...permutation(N, 7, 0)]);
  const below = (limit: number) => all.filter((row) => scores[row]! < limit);
  const values = { by: "threshold", threshold: 1, growth: 1.5 };
  expect(sorted(rows(selfPaced, { values }))).toEqual(below(1));
  expect(sorted(rows(selfPaced, { epoch: 2, values }))).toEqual(below(2.25));
  expect(rows(selfPaced, { values: { ...values, threshold: 1e-9 } })).toEqual([easy[0]!]);
});

test("quality: the same best part in every pass, in another order", () => {
  const first = rows(quality, { values: { subset: 0.1 } });
  const second = rows(quality, { epoch: 1, values: { subset: 0.1 } });
  expect(sorted(first)).toEqual(sorted([...ranked(scores)].slice(0, 20)));
  expect(sorted(second)).toEqual(sorted(first));
  expect(second).not.toEqual(first);
});

test("cyclical: sizes of passes, cut so that they sum to the budget", () => {
  const shares = (total: number, settings = {}) => cycleShares(total, bindDefaults(cyclical, settings).values);
  expect(shares(4.75)).toEqual([0.25, 0.5, 1, 0.5, 0.25, 0.5, 1, 0.5, 0.25]);
  expect(shares(2)).toEqual([0.25, 0.5, 1, 0.25]);
  for (const total of [0.1, 1, 3.3, 20]) {
    for (const strategy of ["cyclic", "sharp", "growing", "shrinking", "exponential", "parabolic"] as const) {
      expect(shares(total, { strategy }).reduce((a, b) => a + b, 0)).toBeCloseTo(total, 9);
    }
  }
  expect(shares(3.5, { strategy: "sharp" })).toEqual([0.25, 0.5, 1, 0.25, 0.5, 1]);
  expect(shares(3.75, { strategy: "growing" })).toEqual([0.25, 0.5, 1, 1, 1]);
  expect(shares(2.25, { strategy: "shrinking" })).toEqual([1, 0.5, 0.25, 0.25, 0.25]);
  expect(shares(0.19, { strategy: "exponential" })).toEqual([0.04, 0.06, 0.09].map((n) => expect.closeTo(n, 9)));
  expect(shares(0.04 + 0.04 * 2 ** 1.5, { strategy: "parabolic" }).length).toBe(2);
  expect(shares(2, { start: 1 })).toEqual([1, 1]);
  expect(shares(1, { start: 0.5, end: 0.5 })).toEqual([0.5, 0.5]);
});

test("cyclical: the whole data is an ordinary epoch, whatever the scores", () => {
  for (const score of ["easy", "random"]) {
    const values = { start: 1, end: 1, score };
    for (const epoch of [0, 3]) expect(rows(cyclical, { epoch, values })).toEqual([...permutation(N, 7, epoch)]);
  }
});

test("cyclical: rows are drawn in proportion to their scores", () => {
  const drawn = (score: string, losses: number[]): number[] => {
    const counts = losses.map(() => 0);
    for (let seed = 0; seed < 4000; seed++) {
      const { values } = bindDefaults(cyclical, { start: 1 / losses.length, end: 1 / losses.length, score });
      const [row, ...more] = cyclical.rows({ lengths: losses, scores: losses, done: 0, epoch: 0, seed, values });
      expect(more).toEqual([]);
      counts[row!]!++;
    }
    return counts.map((count) => count / 4000);
  };
  const near = (values: number[]) => values.map((value) => expect.closeTo(value, 1.3));
  expect(drawn("easy", [1, 2, 4])).toEqual(near([4 / 7, 2 / 7, 1 / 7]));
  expect(drawn("hard", [1, 2, 5])).toEqual(near([1 / 8, 2 / 8, 5 / 8]));
  expect(drawn("random", [1, 2, 4])).toEqual(near([1 / 3, 1 / 3, 1 / 3]));
  const raised = [1, 2, 6].map((loss) => Math.exp(-loss / 2));
  expect(drawn("exponential", [1, 2, 6])).toEqual(near(raised.map((x) => x / raised.reduce((a, b) => a + b, 0))));
  expect(() => rows(cyclical, { values: { start: 0.6, end: 0.5 } })).toThrow("--start 0.6 is above --end 0.5");
});
