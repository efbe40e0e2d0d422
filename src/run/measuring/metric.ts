/**
 * What a metric is: a number over scored rows. A file of methods/metrics/ is one; `--metric ece` is ece.ts.
 *
 * A metric is a function of a list of rows, so that groups, differences between checkpoints and bootstrap intervals
 * come with it. It declares what it needs: what rows must hold, groups by role, a gold model. The frame supplies that
 * or refuses the run.
 */
import type { Bound } from "../../method/bind.ts";
import type { Laws } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Task } from "../../model/architecture.ts";
import type { Better } from "../evaluation/row.ts";
import type { Need, ScoredRow } from "../scoring/scored-row.ts";
import { explanationOf } from "./explanation.ts";
import type { Groups } from "./groups.ts";

/** What a metric may know besides the rows. */
export interface MetricContext extends Groups {
  /** The rows as a model scores them that never saw what is to be forgotten. */
  readonly gold?: readonly ScoredRow[];
}

/** The same with the values of the metric's options. */
export interface MetricSetup<O extends Options = Options> extends MetricContext {
  readonly values: Values<O>;
}

/** The laws of metrics, up to rounding. Rows are those that the frame gives a metric: `measured` in measure.ts. */
export const METRIC_LAWS = {
  rowOrder: "the order of rows does not matter",
  duplicates: "every row twice gives the same value",
  unscoredRows: "rows of which no token counts, and that hold nothing else, change nothing",
  otherGroups: "rows of groups beside those that are compared change nothing",
  perfectModel: "a model that gives every right answer a probability of 1 has the best value of the range",
} as const;

export type MetricLaw = keyof typeof METRIC_LAWS;

export interface Metric<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<MetricLaw>;
  /** Which models it is for; both when left out. */
  readonly task?: Task;
  /** What rows must hold besides scores. */
  readonly needs?: Need | readonly Need[];
  /** Groups that the data must have. */
  readonly roles?: readonly ("forget" | "holdout")[];
  /** Compares groups: it is measured once, over all rows, and resamples keep the size of every group. */
  readonly across?: boolean;
  /**
   * Options that name other models of the same rows: `reference` scores their choices, for what stands beside `losses`;
   * `draft` is read beside the model itself; `encoder` says how alike generated answers and right ones are.
   */
  readonly models?: readonly ("reference" | "draft" | "encoder")[];
  /** Compares with the gold model itself, so a relative difference to gold says nothing. */
  readonly gold?: "required" | "used";
  /** False where resampling says nothing about the value. */
  readonly interval?: false;
  /** The least and the largest value. */
  readonly range: readonly [number, number];
  /**
   * Which value is better: more, less, what is nearer to a number, or neither. Of the group to forget no value of a
   * metric with `knowledge` is better by itself.
   */
  readonly better: Better;
  /** How the value is found from the rows, in words. */
  readonly formula: string;
  /** Which groups and keys of rows it reads, and which options. */
  readonly reads: string;
  /** Whether a model that knows the rows better has more or less of it; left out where that is not so throughout. */
  readonly knowledge?: "more" | "less";
  /** A command that measures it, for --help; made from the rest when left out. */
  readonly example?: string;
  /** NaN where no row can be measured. */
  value(rows: readonly ScoredRow[], setup: MetricSetup<O>): number;
  /** Further numbers, by name, such as one per class. */
  details?(rows: readonly ScoredRow[], setup: MetricSetup<O>): Record<string, number>;
  /** Throws UserError before any model runs where the names of the groups do not serve. */
  check?(groups: readonly string[]): void;
}

/**
 * A metric with the types of its options.
 *
 *   export const method = defineMetric({
 *     name: "loss", ..., options: {}, range: [0, Number.POSITIVE_INFINITY], better: "lower",
 *     value: (rows) => ratio(rows, summedLoss, tokens),
 *   });
 */
export const defineMetric = <const O extends Options>(metric: Metric<O>): Metric<O> => ({
  ...metric,
  explained: explanationOf(metric),
});

/** A metric with the values that were asked for. */
export type BoundMetric = Bound<Metric>;

/** What rows must hold for all of the metrics. */
export const needsOf = (metrics: readonly BoundMetric[]): Set<Need> =>
  new Set(metrics.flatMap(({ method: { needs = [] } }) => needs));

declare module "../../method/registry.ts" {
  interface Contracts {
    metric: Metric;
  }
}
