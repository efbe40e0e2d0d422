/** From scored rows to numbers: metrics by model and group, intervals, differences to the first model and to gold. */
import { table } from "../text/table.ts";
import { bootstrap } from "./bootstrap.ts";
import type { EvaluateContext } from "./command.ts";
import { countedRows, type Metric, type MetricContext, type ScoredRow } from "./contract.ts";
import { partsOf } from "./loaded-model.ts";
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
      const allGold = context.gold?.filter(has);
      const allBase = scored[0]!.filter(has);
      const against = (gold: readonly ScoredRow[] | undefined) => ({ ...context, ...(gold ? { gold } : {}) });
      const interval = (
        lists: readonly (readonly ScoredRow[])[],
        statistic: (lists: readonly (readonly ScoredRow[])[]) => number,
      ) => {
        const strata = metric.across ? { strata: lists[0]!.map((row) => row.group) } : {};
        return bootstrap(lists, statistic, { draws: options.bootstrap, seed, ...strata });
      };
      const draws = (list: readonly ScoredRow[]) =>
        options.bootstrap > 0 && list.length > 1 && metric.interval !== false;

      for (const [m, model] of refs.entries()) {
        const all = scored[m]!.filter(has);
        const [own, gold] = countedRows(metric, all, allGold);
        const value = metric.value(own, against(gold));
        // Rows of the gold model are resampled with those of the others, where they correspond.
        const isPaired = allGold?.length === all.length;
        const measure = (list: readonly ScoredRow[], drawnGold: readonly ScoredRow[] | undefined = gold) =>
          metric.value(list, against(drawnGold));
        const row: Row = { model, group, metric: metric.name, value, rows: own.length };
        rows.push({
          ...row,
          ...(draws(own) ? { interval: interval(isPaired ? [own, gold!] : [own], ([a, g]) => measure(a!, g)) } : {}),
          ...(m > 0 ? differenceOf() : {}),
        });
        const details = metric.details?.(own, against(gold)) ?? {};
        for (const [detail, number] of Object.entries(details)) {
          rows.push({ ...row, metric: `${metric.name} ${detail}`, value: number });
        }
        if (gold && !metric.usesGold) {
          const known = measure(gold);
          const relative = (100 * (value - known)) / (known + 1e-10);
          if (m === 0) rows.push({ ...row, model: options.gold!, value: known, rows: gold.length });
          rows.push({ ...row, metric: `${metric.name} % from gold`, value: relative });
        }

        function differenceOf(): Pick<Row, "difference" | "difference_interval"> {
          const [base, baseGold] = countedRows(metric, allBase, allGold);
          const difference = value - metric.value(base, against(baseGold));
          const [a, b, g] = countedRows(metric, all, allBase, allGold);
          if (all.length !== allBase.length || !draws(a)) return { difference };
          const paired = isPaired ? [a, b, g!] : [a, b];
          const apart = (drawn: readonly (readonly ScoredRow[])[]) =>
            measure(drawn[0]!, drawn[2]) - measure(drawn[1]!, drawn[2]);
          return { difference, difference_interval: interval(paired, apart) };
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
