/** From scored rows to numbers: metrics by model and group, intervals, differences to the first model and to gold. */
import { table } from "../cli/table.ts";
import { bootstrap } from "./bootstrap.ts";
import type { EvaluateContext } from "./command.ts";
import { partsOf } from "./lab.ts";
import type { Metric, MetricContext, ScoredRow } from "./metric.ts";
import { cell } from "./technique.ts";

/** One number of the result. */
export interface Row {
  readonly model: string;
  readonly group: string;
  readonly metric: string;
  readonly value: number;
  /** 95 % interval. */
  readonly interval?: readonly [number, number];
  /** Against the first model, with its interval. */
  readonly difference?: number;
  readonly difference_interval?: readonly [number, number];
  readonly rows: number;
}

/** Every metric of every model and group, with intervals and differences. */
export function results(
  { options, seed }: EvaluateContext,
  refs: readonly string[],
  metrics: readonly Metric[],
  scored: readonly (readonly ScoredRow[])[],
  context: MetricContext,
): Row[] {
  const rows: Row[] = [];
  const parts = partsOf(context.groups);
  for (const metric of metrics) {
    for (const { name: group, has } of metric.across ? parts.slice(0, 1) : parts) {
      const gold = context.gold?.filter(has);
      for (const [m, model] of refs.entries()) {
        const own = scored[m]!.filter(has);
        const base = scored[0]!.filter(has);
        // Rows of the gold model are resampled with those of the others.
        const paired = gold?.length === own.length ? [gold] : [];
        const measure = (list: readonly ScoredRow[], against: readonly ScoredRow[] | undefined = gold) =>
          metric.value(list, { ...context, ...(against ? { gold: against } : {}) });
        const value = measure(own);
        const several = options.bootstrap > 0 && own.length > 1 && metric.interval !== false;
        const draw = {
          draws: options.bootstrap,
          seed,
          ...(metric.across ? { strata: own.map((row) => row.group) } : {}),
        };
        const difference = m > 0 ? value - measure(base) : undefined;
        rows.push({
          model,
          group,
          metric: metric.name,
          value,
          ...(several ? { interval: bootstrap([own, ...paired], ([list, g]) => measure(list!, g), draw) } : {}),
          ...(difference === undefined ? {} : { difference }),
          ...(difference !== undefined && several && own.length === base.length
            ? {
                difference_interval: bootstrap(
                  [own, base, ...paired],
                  ([a, b, g]) => measure(a!, g) - measure(b!, g),
                  draw,
                ),
              }
            : {}),
          rows: own.length,
        });
        const details = metric.details?.(own, { ...context, ...(gold ? { gold } : {}) }) ?? {};
        for (const [detail, number] of Object.entries(details)) {
          rows.push({ model, group, metric: `${metric.name} ${detail}`, value: number, rows: own.length });
        }
        if (gold && !metric.usesGold) {
          const known = measure(gold);
          const relative = (100 * (value - known)) / (known + 1e-10);
          if (m === 0) rows.push({ model: options.gold!, group, metric: metric.name, value: known, rows: gold.length });
          rows.push({ model, group, metric: `${metric.name} % from gold`, value: relative, rows: own.length });
        }
      }
    }
  }
  return rows;
}

/** The rows for people. */
export function tableOf(rows: readonly Row[], refs: readonly string[]): string {
  const several = refs.length > 1;
  const named = several || rows.some(({ model }) => !refs.includes(model));
  const range = (interval?: readonly [number, number]) =>
    interval ? `${cell(interval[0])} to ${cell(interval[1])}` : "";
  const header = [
    ...(named ? ["model"] : []),
    "group",
    "metric",
    "value",
    "95 %",
    ...(several ? ["difference", "95 %"] : []),
    "rows",
  ];
  return table([
    header,
    ...rows.map(({ model, group, metric, value, interval, difference, difference_interval, rows: n }) => [
      ...(named ? [model] : []),
      group,
      metric,
      cell(value),
      range(interval),
      ...(several ? [difference === undefined ? "" : cell(difference), range(difference_interval)] : []),
      String(n),
    ]),
  ]);
}
