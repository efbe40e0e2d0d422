/** From scored rows to numbers: metrics by model and group, intervals, differences to the first model and to gold. */
import type { Better, EvaluationRow } from "../run/evaluation/row.ts";
import type { SeedRun } from "../run/evaluation/seeds.ts";
import { countedRows, partsFor } from "../run/measuring/measure.ts";
import type { BoundMetric, MetricContext } from "../run/measuring/metric.ts";
import type { ScoredRow } from "../run/scoring/scored-row.ts";
import { bootstrap, type PairedRows } from "./bootstrap.ts";
import { cell } from "./technique.ts";

/** What was scored. */
export interface Scored {
  readonly models: readonly {
    readonly ref: string;
    readonly rows: readonly ScoredRow[];
    /** What it is a run of, where others differ from it by their seed alone. */
    readonly run?: SeedRun | undefined;
  }[];
  /** The gold model's reference; its rows are in the context. */
  readonly gold: string | undefined;
  readonly context: MetricContext;
}

export interface ResampleOptions {
  /** How many resamples; 0 for no intervals. */
  readonly draws: number;
  readonly seed: number;
}

/** Every metric of every model and group, with intervals and differences. */
export function results(scored: Scored, metrics: readonly BoundMetric[], resampling: ResampleOptions): EvaluationRow[] {
  return metrics.flatMap((metric) =>
    partsFor(metric.method, scored.context.groups).flatMap(({ name, has }) => {
      const models = scored.models.map((model) => ({ ...model, rows: model.rows.filter(has) }));
      const gold = scored.context.gold?.filter(has);
      return new Comparison(metric, { group: name, models, gold, scored, resampling }).rows();
    }),
  );
}

interface ComparisonOptions {
  readonly group: string;
  /** All rows of the group, by model. */
  readonly models: Scored["models"];
  readonly gold: readonly ScoredRow[] | undefined;
  readonly scored: Scored;
  readonly resampling: ResampleOptions;
}

/** One metric on one group: the models beside each other. */
class Comparison {
  readonly #metric: BoundMetric;
  readonly #options: ComparisonOptions;

  constructor(metric: BoundMetric, options: ComparisonOptions) {
    this.#metric = metric;
    this.#options = options;
  }

  rows(): EvaluationRow[] {
    return this.#options.models.flatMap((_, m) => this.#rowsOf(m));
  }

  #setup(gold: readonly ScoredRow[] | undefined) {
    return { ...this.#options.scored.context, ...(gold ? { gold } : {}), values: this.#metric.values };
  }

  /** What is known of rows that are to be forgotten says by itself nothing good or bad, nor does it beside others. */
  #better(): Better {
    const { method } = this.#metric;
    const { group, scored } = this.#options;
    const { groups, forget } = scored.context;
    const holdsForgotten = groups.includes(forget) && (group === forget || group === "all");
    return method.knowledge && !method.across && holdsForgotten ? "none" : method.better;
  }

  #value(rows: readonly ScoredRow[], gold: readonly ScoredRow[] | undefined): number {
    return this.#metric.method.value(rows, this.#setup(gold));
  }

  /** Whether resamples of the rows say something. */
  #isResampled(rows: readonly ScoredRow[]): boolean {
    return this.#options.resampling.draws > 0 && rows.length > 1 && this.#metric.method.interval !== false;
  }

  /** Rows of the gold model are resampled with those of the others, where they correspond. */
  #isPaired(all: readonly ScoredRow[]): boolean {
    return this.#options.gold?.length === all.length;
  }

  #interval(lists: PairedRows, statistic: (lists: PairedRows) => number): [number, number] {
    const strata = this.#metric.method.across ? { strata: lists[0]!.map((row) => row.group) } : {};
    return bootstrap(lists, statistic, { ...this.#options.resampling, ...strata });
  }

  #rowsOf(m: number): EvaluationRow[] {
    const { method } = this.#metric;
    const { models, group } = this.#options;
    const { ref, rows: all, run } = models[m]!;
    const [own, gold] = countedRows(method, all, this.#options.gold);
    const value = this.#value(own, gold);
    const row = { model: ref, ...run, group, metric: method.name, value, rows: own.length };
    const better = this.#better();
    const lists = this.#isPaired(all) ? [own, gold!] : [own];
    const interval = this.#isResampled(own)
      ? { interval: this.#interval(lists, ([drawn, drawnGold = gold]) => this.#value(drawn!, drawnGold)) }
      : {};
    const details = method.details?.(own, this.#setup(gold)) ?? {};
    return [
      { ...row, better, ...interval, ...(m > 0 ? this.#difference(m, row.value) : {}) },
      ...Object.entries(details).map(([detail, value]) => ({ ...row, metric: `${method.name} ${detail}`, value })),
      ...(gold && !method.gold ? this.#againstGold(m, { ...row, better }, gold) : []),
    ];
  }

  /** How far the model is from gold; for the first model also the value of gold. */
  #againstGold(m: number, row: EvaluationRow, gold: readonly ScoredRow[]): EvaluationRow[] {
    const value = this.#value(gold, gold);
    const { better, ...further } = row;
    const { seeds_of: _, seed: __, ...goldRow } = row;
    const relative = (100 * (row.value - value)) / (value + 1e-10);
    return [
      ...(m === 0
        ? [{ ...goldRow, model: this.#options.scored.gold!, gold: true as const, value, rows: gold.length }]
        : []),
      { ...further, metric: `${row.metric} % from gold`, value: relative },
    ];
  }

  /** Against the first model, on the rows that both are measured on. */
  #difference(m: number, value: number): Pick<EvaluationRow, "difference" | "difference_interval"> {
    const { method } = this.#metric;
    const { models, gold: allGold } = this.#options;
    const [all, allBase] = [models[m]!.rows, models[0]!.rows];
    const [, gold] = countedRows(method, all, allGold);
    const [base, baseGold] = countedRows(method, allBase, allGold);
    const difference = value - this.#value(base, baseGold);
    const [a, b, g] = countedRows(method, all, allBase, allGold);
    if (all.length !== allBase.length || !this.#isResampled(a)) return { difference };
    const lists = this.#isPaired(all) ? [a, b, g!] : [a, b];
    const apart = ([one, other, drawnGold = gold]: PairedRows) =>
      this.#value(one!, drawnGold) - this.#value(other!, drawnGold);
    return { difference, difference_interval: this.#interval(lists, apart) };
  }
}

/** Every number on a line of its own, the header first. */
export function longTable(rows: readonly EvaluationRow[], refs: readonly string[]): string[][] {
  const hasSeveral = refs.length > 1;
  const isNamed = hasSeveral || rows.some(({ model }) => !refs.includes(model));
  const range = (interval?: readonly [number, number]) =>
    interval ? `${cell(interval[0])} to ${cell(interval[1])}` : "";
  const header = [
    ...(isNamed ? ["model"] : []),
    "group",
    "metric",
    "value",
    "95 %",
    ...(hasSeveral ? ["difference", "95 %"] : []),
    "rows",
  ];
  return [
    header,
    ...rows.map(({ model, group, metric, value, interval, difference, difference_interval, rows: n }) => [
      ...(isNamed ? [model] : []),
      group,
      metric,
      cell(value),
      range(interval),
      ...(hasSeveral ? [difference === undefined ? "" : cell(difference), range(difference_interval)] : []),
      String(n),
    ]),
  ];
}
