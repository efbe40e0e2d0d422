/** What a search found: the best trial, or the front of several objectives, as a table and as recipes. */

import { fronts } from "../../run/searching/pareto.ts";
import type { Space } from "../../run/searching/space.ts";
import { table } from "../../text/table.ts";
import { type Objective, scoresOf, sumOf } from "./objective.ts";
import { LAST, type Trial } from "./trial-file.ts";

export const trialName = ({ trial }: Trial): string => (trial === LAST ? "last" : String(trial));

/** Trials whose objectives are all known. */
const known = (trials: readonly Trial[]): Trial[] =>
  trials.filter(({ measures }) => measures.every((value) => Number.isFinite(value)));

/** The trial with the largest weighted sum, the first of equals; undefined where none has all objectives. */
export function bestTrial(trials: readonly Trial[], objectives: readonly Objective[]): Trial | undefined {
  let best: Trial | undefined;
  for (const trial of known(trials))
    if (!best || sumOf(objectives, trial.measures) > sumOf(objectives, best.measures)) best = trial;
  return best;
}

/** Trials that no other beats in all objectives, in order of the first; one of those with equal values. */
export function frontOf(trials: readonly Trial[], objectives: readonly Objective[]): Trial[] {
  const candidates = known(trials).filter(
    ({ measures }, i, all) => all.findIndex((other) => other.measures.join() === measures.join()) === i,
  );
  const losses = candidates.map(({ measures }) => scoresOf(objectives, measures).map((score) => -score));
  const [front = []] = fronts(losses);
  return front
    .map((i) => candidates[i]!)
    .sort((a, b) => scoresOf(objectives, b.measures)[0]! - scoresOf(objectives, a.measures)[0]!);
}

const cell = (value: unknown): string =>
  typeof value === "number" ? (Number.isInteger(value) ? String(value) : value.toPrecision(5)) : String(value);

/** Most columns of genes; the recipes say all. */
const MOST_GENES = 8;

/** Trials side by side: objectives, then genes. */
export function trialTable(
  rows: readonly { readonly label: string; readonly trial: Trial }[],
  objectives: readonly Objective[],
  space: Space,
): string {
  const shown = space.slice(0, MOST_GENES);
  const more = space.length > shown.length ? [`and ${space.length - shown.length} more`] : [];
  const head = ["trial", ...objectives.map(({ name }) => name), ...shown.map(({ name }) => name), ...more];
  const lines = rows.map(({ label, trial }) => [
    label,
    ...trial.measures.map(cell),
    ...shown.map((_, i) => cell(trial.point.values[i])),
    ...more.map(() => "…"),
  ]);
  return table([head, ...lines]);
}

/** `loss@math 2.3125, accuracy 0.5` */
export const measuresText = ({ measures }: Trial, objectives: readonly Objective[]): string =>
  objectives.map(({ name }, i) => `${name} ${cell(measures[i])}`).join(", ");
