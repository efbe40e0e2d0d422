/** Metrics over scored rows: which rows count, by group, with the rows of the gold model beside them. */
import { type Need, type ScoredRow, tokens } from "../scoring/scored-row.ts";
import type { BoundMetric, Metric, MetricContext } from "./metric.ts";

/** Needs that a row without a loss may still hold. */
const BESIDES = new Set<Need>(["generated", "continued", "truth", "options", "paraphrases"]);

/**
 * Whether a metric measures a row. A row of which no token counts, because it was cut to its prompt, has no loss to
 * average or to draw.
 */
function isMeasured({ needs = [] }: Metric, row: ScoredRow): boolean {
  const list = [needs].flat();
  if (list.includes("pair")) return row.pair !== undefined;
  if (list.includes("choice") || list.includes("preference")) return row.choice !== undefined;
  return tokens(row) > 0 || list.some((need) => BESIDES.has(need));
}

/**
 * The rows that a metric is measured on, of several models. Lists of one length hold the same rows and leave out the
 * same; others each their own.
 */
export function countedRows<const L extends readonly (readonly ScoredRow[] | undefined)[]>(
  metric: Metric,
  ...lists: L
): { -readonly [K in keyof L]: ScoredRow[] | Extract<L[K], undefined> } {
  const counted = lists.map((list) => {
    const alike = lists.flatMap((other) => (other !== undefined && other.length === list?.length ? [other] : []));
    return list?.filter((_, i) => alike.every((other) => isMeasured(metric, other[i]!)));
  });
  return counted as ReturnType<typeof countedRows<L>>;
}

/** All rows, and those of every group where there are several. */
export function partsOf(groups: readonly string[]): { name: string; has(row: ScoredRow): boolean }[] {
  const all = { name: "all", has: () => true };
  if (groups.length < 2) return [all];
  return [all, ...groups.map((name, group) => ({ name, has: (row: ScoredRow) => row.group === group }))];
}

/** The parts that a metric is measured on: one that compares groups is measured once. */
export const partsFor = ({ across }: Metric, groups: readonly string[]): ReturnType<typeof partsOf> =>
  partsOf(groups).slice(0, across ? 1 : undefined);

export interface Measured {
  readonly group: string;
  readonly metric: Metric;
  readonly value: number;
}

/**
 * Every metric over all rows, and over those of each group unless it compares groups.
 *
 *   const metrics = [bindDefaults(await loadMethod("metric", "loss"))];
 *   measured(rows, metrics, { groups: ["a", "b"], forget: "a", holdout: "b" });
 */
export function measured(
  rows: readonly ScoredRow[],
  metrics: readonly BoundMetric[],
  context: MetricContext,
): Measured[] {
  return metrics.flatMap(({ method: metric, values }) =>
    partsFor(metric, context.groups).map(({ name, has }) => {
      const [own, gold] = countedRows(metric, rows.filter(has), context.gold?.filter(has));
      return { group: name, metric, value: metric.value(own, { ...context, ...(gold ? { gold } : {}), values }) };
    }),
  );
}
