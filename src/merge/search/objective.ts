/**
 * What a search makes better: metrics of `evaluate` on groups of rows, each with a weight.
 * `--objective accuracy@math=2,loss@code` is twice the accuracy on `math` less the loss on `code`.
 */
import { UserError } from "../../errors.ts";
import { bindDefaults } from "../../method/bind.ts";
import { nearest } from "../../method/nearest.ts";
import { loadMethod } from "../../method/registry.ts";
import { measured } from "../../run/measuring/measure.ts";
import type { BoundMetric, MetricContext } from "../../run/measuring/metric.ts";
import type { ScoredRow } from "../../run/scoring/scored-row.ts";

export interface Objective {
  /** `accuracy@math`; of all rows `accuracy`. */
  readonly name: string;
  readonly metric: BoundMetric;
  /** A group's name, or "all". */
  readonly group: string;
  /** Share in the weighted sum; a negative one makes a metric worse. */
  readonly weight: number;
}

/** What a trial measured: the value of every objective, as `evaluate` gives it. */
export type Measures = readonly number[];

/** How good a value is, higher is better; -Infinity for what is not known. */
function worth({ metric: { method } }: Objective, value: number): number {
  const { better } = method;
  const good = better === "lower" ? -value : typeof better === "number" ? -Math.abs(value - better) : value;
  return Number.isNaN(good) ? Number.NEGATIVE_INFINITY : good;
}

/** Scores of objectives by themselves, each times the sign of its weight. */
export const scoresOf = (objectives: readonly Objective[], measures: Measures): number[] =>
  objectives.map((objective, i) => {
    const good = worth(objective, measures[i]!);
    return Number.isFinite(good) ? Math.sign(objective.weight) * good : Number.NEGATIVE_INFINITY;
  });

/** The weighted sum of all objectives; -Infinity where one of them is not known. */
export function sumOf(objectives: readonly Objective[], measures: Measures): number {
  const parts = objectives.map((objective, i) => objective.weight * worth(objective, measures[i]!));
  return parts.every(Number.isFinite) ? parts.reduce((a, b) => a + b, 0) : Number.NEGATIVE_INFINITY;
}

/** The value of every objective on scored rows. */
export function measuresOf(
  objectives: readonly Objective[],
  rows: readonly ScoredRow[],
  context: MetricContext,
): number[] {
  const values = new Map(
    [...new Set(objectives.map(({ metric }) => metric))].map((metric) => [metric, measured(rows, [metric], context)]),
  );
  return objectives.map(({ metric, group }) => values.get(metric)!.find((one) => one.group === group)!.value);
}

const HINT = "write METRIC, METRIC@GROUP or METRIC@GROUP=WEIGHT";

/**
 * Reads `--objective`; left out, every metric counts alike over all rows. `metrics` are those that --metric named, with
 * their options; others are taken with their defaults. Throws UserError for a metric or a group that there is not, a
 * weight of 0, and a metric of which no value is better.
 */
export async function parseObjectives(
  texts: readonly string[],
  metrics: readonly BoundMetric[],
  groups: readonly string[],
): Promise<Objective[]> {
  const known = new Map(metrics.map((metric) => [metric.method.name, metric]));
  const objectives: Objective[] = [];
  for (const text of texts.length > 0 ? texts : known.keys()) {
    const [, typed, group = "all", share] = /^([^@=]+)(?:@([^=]+))?(?:=(.+))?$/.exec(text.trim()) ?? [];
    if (typed === undefined) throw new UserError(`--objective ${text} names no metric`, HINT);
    const weight = share === undefined ? 1 : Number(share);
    if (!Number.isFinite(weight) || weight === 0)
      throw new UserError(`--objective ${text}: the weight ${share} is no number other than 0`, HINT);
    const found = await loadMethod("metric", typed, "--objective");
    const metric = known.get(found.name) ?? bindDefaults(found);
    known.set(found.name, metric);
    objectives.push({ name: group === "all" ? found.name : `${found.name}@${group}`, metric, group, weight });
  }
  if (objectives.length === 0)
    throw new UserError("a search needs to know what is better", "give --objective loss, or several with weights");
  checkObjectives(objectives, groups);
  return objectives;
}

/** Throws UserError for an objective that the data or a search cannot serve. */
export function checkObjectives(objectives: readonly Objective[], groups: readonly string[]): void {
  for (const objective of objectives) checkObjective(objective, objectives, groups);
}

function checkObjective(
  { name, metric: { method }, group }: Objective,
  all: readonly Objective[],
  groups: readonly string[],
): void {
  if (all.filter((other) => other.name === name).length > 1)
    throw new UserError(`--objective names ${name} twice`, "give it one weight");
  if (method.better === "none")
    throw new UserError(`no value of ${method.name} is better than another`, "choose a metric that has a direction");
  if (method.gold === "required")
    throw new UserError(
      `${method.name} compares with a gold model, which a search does not load`,
      "search for another metric, and evaluate the result beside the gold model",
    );
  if (group === "all") return;
  if (method.across)
    throw new UserError(`${method.name} compares groups, so it has no value on ${group} alone`, `write ${method.name}`);
  if (groups.length === 1 && groups[0] === group)
    throw new UserError(`all rows are of the group ${group}`, `write --objective ${method.name}`);
  if (!groups.includes(group)) {
    const near = nearest(group, groups);
    throw new UserError(
      `--objective ${name}: the data has no group ${group}`,
      near ? `did you mean ${near}?` : `it has ${groups.join(", ")}; name one with --data ${group}=rows.jsonl`,
    );
  }
}
