/** One number of an evaluation, as results, logs and files hold it. */

/** Which of two values is better: more, less, what is nearer to a number, or neither. */
export type Better = "higher" | "lower" | "none" | number;

export interface EvaluationRow {
  readonly model: string;
  readonly group: string;
  /** The name of the metric; of a further number also what it is: "rouge-l f1". */
  readonly metric: string;
  readonly value: number;
  /** Of the metric on this group; further numbers have none. */
  readonly better?: Better;
  /** The model that never saw what is to be forgotten. */
  readonly gold?: true;
  /** The name of the runs that differ from this one by their seed alone, and this one's seed. */
  readonly seeds_of?: string;
  readonly seed?: string;
  /** 95 % interval. */
  readonly interval?: readonly [number, number];
  /** Against the first model, with its interval. */
  readonly difference?: number;
  readonly difference_interval?: readonly [number, number];
  /** Rows of data that were measured. */
  readonly rows: number;
}

const isText = (value: unknown): value is string => typeof value === "string";
const isPair = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every((each) => typeof each === "number");
const isBetter = (value: unknown): value is Better =>
  value === "higher" || value === "lower" || value === "none" || typeof value === "number";

/** A row out of a file; undefined where it is not one. JSON has null for a number that is unknown. */
function evaluationRow(row: Readonly<Record<string, unknown>>): EvaluationRow | undefined {
  const { model, group, metric, value, better, gold, seeds_of, seed, interval, difference, difference_interval, rows } =
    row;
  if (!isText(model) || !isText(group) || !isText(metric)) return undefined;
  if (typeof value !== "number" && value !== null) return undefined;
  return {
    model,
    group,
    metric,
    value: value ?? Number.NaN,
    ...(isBetter(better) ? { better } : {}),
    ...(gold === true ? { gold } : {}),
    ...(isText(seeds_of) && isText(seed) ? { seeds_of, seed } : {}),
    ...(isPair(interval) ? { interval } : {}),
    ...(typeof difference === "number" ? { difference } : {}),
    ...(isPair(difference_interval) ? { difference_interval } : {}),
    rows: typeof rows === "number" ? rows : Number.NaN,
  };
}

/** The rows of a file as those of an evaluation; undefined where one of them is something else. */
export function evaluationRows(rows: readonly Readonly<Record<string, unknown>>[]): EvaluationRow[] | undefined {
  const found = rows.map(evaluationRow);
  return found.length > 0 && found.every((row) => row !== undefined) ? found : undefined;
}

/** The best of some values, among those that are known; undefined where none is, or all are the same. */
export function bestOf(values: readonly number[], better: Better): number | undefined {
  const known = values.filter((value) => !Number.isNaN(value));
  if (better === "none" || known.length < 2) return undefined;
  const worth = (value: number) =>
    better === "higher" ? value : better === "lower" ? -value : -Math.abs(value - better);
  const best = known.reduce((a, b) => (worth(b) > worth(a) ? b : a));
  return known.every((value) => worth(value) === worth(best)) ? undefined : best;
}
