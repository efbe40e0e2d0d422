/** Trials as one row for each point: means over seeds, which is best, and which no other beats. */
import type { JsonObject } from "../json.ts";
import { fronts } from "../run/searching/pareto.ts";
import { type Mean, meanOf } from "../run/student-t.ts";
import { shortNumber } from "../text/format.ts";
import { table } from "../text/table.ts";
import { type Goal, scoreOf } from "./goals.ts";
import type { Trial } from "./trial.ts";

export interface PointSummary {
  readonly trial: number;
  readonly point: JsonObject;
  /** By goal, over the seeds that have the number; undefined where none has. */
  readonly values: readonly (Mean | undefined)[];
  readonly trials: number;
  readonly failed: number;
  /** The best of one goal; of several, beaten by no other point in all of them. */
  readonly best: boolean;
}

/** Means of a goal turned so that less is better; Infinity where there is none. */
const lossOf = (goal: Goal, value: Mean | undefined): number =>
  value === undefined ? Number.POSITIVE_INFINITY : goal.better === "max" ? -value.mean : value.mean;

/** One row for each point, in their order. */
export function summaryOf(trials: readonly Trial[], goals: readonly Goal[]): PointSummary[] {
  const byPoint = Map.groupBy(
    trials.toSorted((a, b) => a.trial - b.trial || a.seed - b.seed),
    ({ trial }) => trial,
  );
  const rows = [...byPoint].map(([trial, of]) => ({
    trial,
    point: of[0]!.point,
    values: goals.map((goal) => {
      const found = of.flatMap(({ metrics }) => metrics[goal.name] ?? []);
      return found.length > 0 ? meanOf(found) : undefined;
    }),
    trials: of.length,
    failed: of.filter(({ exit }) => exit !== 0).length,
  }));
  const losses = rows.map(({ values }) => goals.map((goal, g) => lossOf(goal, values[g])));
  const whole = rows.flatMap((_, i) => (losses[i]!.every(Number.isFinite) ? [i] : []));
  const [first = []] = fronts(whole.map((i) => losses[i]!));
  const best = new Set(first.map((i) => whole[i]!));
  return rows.map((row, i) => ({ ...row, best: best.has(i) }));
}

const meanText = (value: Mean | undefined): string =>
  value === undefined
    ? "-"
    : value.half === undefined
      ? shortNumber(value.mean)
      : `${shortNumber(value.mean)} ± ${Number(value.half.toPrecision(2))}`;

/** The best first, of one goal; of several in the order of the trials. */
export function summaryText(rows: readonly PointSummary[], goals: readonly Goal[]): string {
  const [goal, more] = goals;
  const sorted =
    goal && more === undefined
      ? rows.toSorted((a, b) => {
          const [x, y] = [lossOf(goal, a.values[0]), lossOf(goal, b.values[0])];
          return x === y ? a.trial - b.trial : x - y;
        })
      : rows;
  const names = Object.keys(rows[0]?.point ?? {});
  const mark = more === undefined ? "best" : "front";
  const lines = sorted.map(({ trial, point, values, trials, failed, best }) => [
    String(trial),
    ...names.map((name) => shown(point[name])),
    ...values.map(meanText),
    `${failed > 0 ? `${failed} of ${trials} failed` : trials}`,
    best ? mark : "",
  ]);
  const header = ["trial", ...names, ...goals.map(({ name }) => name), "seeds", ""];
  return table([header, ...lines], { align: `r${"l".repeat(names.length)}${"l".repeat(goals.length)}r` });
}

const shown = (value: unknown): string => (typeof value === "number" ? shortNumber(value) : String(value));

/** The rows for machines. */
export const summaryJson = (rows: readonly PointSummary[], goals: readonly Goal[]): JsonObject[] =>
  rows.map(({ trial, point, values, trials, failed, best }) => ({
    trial,
    point,
    metrics: Object.fromEntries(
      goals.map(({ name }, g) => {
        const value = values[g];
        return [name, value ? { mean: value.mean, half: value.half ?? null, count: value.count } : null];
      }),
    ),
    trials,
    failed,
    best,
  }));

/** What a search hears of a point: the mean of each goal over the seeds, more is better. */
export const scoresOf = (trials: readonly Trial[], goals: readonly Goal[]): number[] =>
  goals.map((goal) => {
    const scores = trials.map(({ metrics }) => scoreOf(goal, metrics));
    return scores.reduce((a, b) => a + b, 0) / Math.max(1, scores.length);
  });
