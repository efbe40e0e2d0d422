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

/** The best of some values, among those that are known; undefined where none is, or all are the same. */
export function bestOf(values: readonly number[], better: Better): number | undefined {
  const known = values.filter((value) => !Number.isNaN(value));
  if (better === "none" || known.length < 2) return undefined;
  const worth = (value: number) =>
    better === "higher" ? value : better === "lower" ? -value : -Math.abs(value - better);
  const best = known.reduce((a, b) => (worth(b) > worth(a) ? b : a));
  return known.every((value) => worth(value) === worth(best)) ? undefined : best;
}
