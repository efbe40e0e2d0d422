/** What a search over several objectives leaves in its log. */

/** What a search says at its end. */
export interface Front {
  readonly objectives: readonly string[];
  /** Trials of the front, one object each: its number, `scores` by objective. */
  readonly trials: readonly Readonly<Record<string, unknown>>[];
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The front that an event states; undefined where it has another form. */
export function frontOf({ objectives, trials }: Readonly<Record<string, unknown>>): Front | undefined {
  if (!Array.isArray(objectives) || !Array.isArray(trials)) return undefined;
  const isFront =
    objectives.length > 1 &&
    objectives.every((name) => typeof name === "string") &&
    trials.every((trial) => isObject(trial) && isObject(trial.scores));
  return isFront ? { objectives, trials } : undefined;
}

/** The trials of a front as the rows of a table: number, scores, point. */
export const frontRows = ({ trials }: Front): Record<string, unknown>[] =>
  trials.map(({ trial, scores, point }) => ({
    trial,
    ...(scores as Record<string, unknown>),
    ...(isObject(point) ? point : {}),
  }));
