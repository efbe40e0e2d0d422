/** The loop of a search: asks, tries what no file knows, tells. */
import { UserError } from "../../errors.ts";
import type { Point, Scored, Searcher } from "../../run/searching/contract.ts";
import type { Share } from "../../run/searching/share.ts";
import { type Measures, type Objective, scoresOf, sumOf } from "./objective.ts";
import { LAST, type Trial } from "./trial-file.ts";

export interface SearchRun {
  readonly searcher: Searcher;
  readonly budget: number;
  readonly objectives: readonly Objective[];
  /** Whether every objective is its own; else they are summed to one. */
  readonly pareto: boolean;
  /** Trials that were made before, by number. */
  readonly known: ReadonlyMap<number, Trial>;
  /** Makes a trial. */
  readonly attempt: (point: Point, trial: number) => Promise<{ measures: Measures; failed?: string }>;
  /** Hears every new trial. */
  readonly done: (trial: Trial) => void;
  /** Hears what a search says of itself after a batch. */
  readonly noted?: (notes: Record<string, unknown>) => void;
  /** The share of an array job: trials with trial % of === worker. */
  readonly share?: Share | undefined;
  readonly signal: AbortSignal;
}

/** Whether two points make one model. */
export const samePoint = (a: Point, b: Point): boolean =>
  JSON.stringify([a.values, a.extra ?? {}]) === JSON.stringify([b.values, b.extra ?? {}]);

/**
 * Makes up to `budget` trials, and one of the point that a search gives at its end. Gives all of them in order, of a
 * share those that it made. Throws UserError where a known trial is of another point.
 */
export async function runSearch(run: SearchRun): Promise<Trial[]> {
  const { searcher, budget, share } = run;
  const trials: Trial[] = [];
  const isOwn = (number: number) => share === undefined || number % share.of === share.worker;
  let number = 0;
  for (let spent = false; number < budget && !spent; ) {
    const batch = await searcher.ask();
    spent = batch.length === 0;
    const told: Scored[] = [];
    for (const point of batch.slice(0, budget - number)) {
      if (!isOwn(number) && !run.known.has(number)) {
        number++;
        continue;
      }
      const trial = await tryPoint(run, point, number++);
      trials.push(trial);
      told.push(scoredOf(run, trial));
    }
    if (share !== undefined || spent || told.length < batch.length) continue;
    await searcher.tell(told);
    if (searcher.notes) run.noted?.(searcher.notes());
  }
  const last = share === undefined ? searcher.last?.() : undefined;
  if (last) trials.push(await tryPoint(run, last, LAST));
  return trials;
}

const scoredOf = ({ objectives, pareto }: SearchRun, { point, measures }: Trial): Scored => ({
  point,
  scores: pareto ? scoresOf(objectives, measures) : [sumOf(objectives, measures)],
});

async function tryPoint({ known, attempt, done, signal }: SearchRun, point: Point, number: number): Promise<Trial> {
  const before = known.get(number);
  const isSame = before !== undefined && samePoint(before.point, point);
  if (before && (isSame || number !== LAST)) {
    if (!isSame)
      throw new UserError(
        `trial ${number} of the file was made at another point than this search asks for`,
        "search with the same options and budget, or name another file with --trials",
      );
    return before;
  }
  signal.throwIfAborted();
  const began = performance.now();
  const found = await attempt(point, number);
  const trial = { trial: number, point, ...found, seconds: (performance.now() - began) / 1000 };
  done(trial);
  return trial;
}
