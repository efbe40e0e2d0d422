/** The laws that metrics claim, on rows of every kind, as the frame measures them. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { measured } from "../../src/run/measuring/measure.ts";
import { METRIC_LAWS, type Metric, type MetricLaw } from "../../src/run/measuring/metric.ts";
import type { ScoredRow } from "../../src/run/scoring/scored-row.ts";
import { CONTEXT, IGNORANT, MIXED, OTHER, PERFECT, rowsFor, TRAINED, UNSCORED } from "./metric-rows.ts";

const metrics = await loadMethods("metric");
const SEEDS = Array.from({ length: 20 }, (_, seed) => seed);

/** The metric over all rows, with those of the gold model. */
function valueOver(metric: Metric, rows: readonly ScoredRow[], gold: readonly ScoredRow[]): number {
  const [overall] = measured(rows, [bindDefaults(metric)], { ...CONTEXT, ...(metric.gold ? { gold } : {}) });
  return overall!.value;
}

const expectSame = (found: number, expected: number) =>
  expect(found).toBeWithin(expected - 1e-9 * (1 + Math.abs(expected)), expected + 1e-9 * (1 + Math.abs(expected)));

/** A law that says that a change of the rows, and of gold's with them, changes nothing. */
const unchangedBy = (change: (rows: readonly ScoredRow[]) => ScoredRow[]) => (metric: Metric) => {
  for (const seed of SEEDS) {
    const [rows, gold] = [rowsFor(metric, seed, MIXED), rowsFor(metric, seed, MIXED, "gold")];
    expectSame(valueOver(metric, change(rows), change(gold)), valueOver(metric, rows, gold));
  }
};

const CHECKS: Readonly<Record<MetricLaw, (metric: Metric) => void>> = {
  rowOrder: unchangedBy((rows) => rows.toReversed()),
  duplicates: unchangedBy((rows) => [...rows, ...rows]),
  unscoredRows: unchangedBy((rows) => [UNSCORED, ...rows, { ...UNSCORED, group: 1 }]),
  otherGroups: unchangedBy((rows) => rows.filter(({ group }) => group !== OTHER)),
  perfectModel(metric) {
    const best = metric.range[metric.better === "lower" ? 0 : 1];
    for (const seed of SEEDS)
      expect(valueOver(metric, rowsFor(metric, seed, PERFECT), rowsFor(metric, seed, IGNORANT))).toBeCloseTo(best, 6);
  },
};

describe.each(metrics.map((metric) => [metric.name, metric] as const))("%s", (_, metric) => {
  test.each(claimed(metric.laws).map((law) => [METRIC_LAWS[law], law] as const))("%s", (_text, law) =>
    CHECKS[law](metric),
  );

  test("explains itself: formula, range with the better side, what it reads, source and example", () => {
    const explained = new Map(metric.explained);
    expect([...explained.keys()]).toEqual(["formula", "range", "reads", "source", "example"]);
    for (const text of [metric.formula, metric.reads]) expect(text.split(" ").length).toBeGreaterThan(3);
    for (const option of Object.keys(metric.options))
      expect(metric.formula + metric.reads).toContain(`--${option.replaceAll("_", "-")}`);
    if (metric.gold) expect(metric.reads).toContain("--gold");
    for (const role of metric.roles ?? []) expect(metric.reads).toContain(role);
    const [least, most] = metric.range;
    if (typeof metric.better === "number") expect(metric.better).toBeWithin(least, most);
    expect(explained.get("range")).toMatch(/^(-?\d+ (to \d+|and more)|up to \d+); (higher|lower|nearest|neither)/);
    expect(explained.get("example")).toEndWith(`--metric ${metric.name}`);
  });

  test("stays in its range", () => {
    const [least, most] = metric.range;
    for (const seed of SEEDS) {
      const value = valueOver(metric, rowsFor(metric, seed, MIXED), rowsFor(metric, seed, MIXED, "gold"));
      expect(value).toBeGreaterThanOrEqual(least - 1e-9);
      expect(value).toBeLessThanOrEqual(most + 1e-9);
    }
  });

  const { knowledge } = metric;
  if (knowledge)
    test(`is ${knowledge} for a model that knows the rows`, () => {
      for (const seed of SEEDS) {
        const gold = rowsFor(metric, seed, IGNORANT, "gold");
        const [trained, untrained] = [TRAINED, IGNORANT].map((knows) =>
          valueOver(metric, rowsFor(metric, seed, knows), gold),
        );
        if (knowledge === "more") expect(trained!).toBeGreaterThan(untrained!);
        else expect(trained!).toBeLessThan(untrained!);
      }
    });

  test("is unknown where no row can be measured", () => {
    expect(valueOver(metric, [UNSCORED], [UNSCORED])).toBeNaN();
  });
});

test("every law has a metric that claims it", () => {
  const laws = new Set(metrics.flatMap(({ laws }) => claimed(laws)));
  expect([...laws].sort()).toEqual((Object.keys(METRIC_LAWS) as MetricLaw[]).sort());
});
