/**
 * What learning one task after another has gained and lost: metrics of a matrix R whose entry R[i][j] is the score of
 * task j after task i was learnt.
 *
 * Lopez-Paz and Ranzato, NeurIPS 2017, https://arxiv.org/abs/1706.08840 (average, backward and forward transfer);
 * Chaudhry et al., ECCV 2018, https://arxiv.org/abs/1801.10112 (forgetting, intransigence); Shi et al. 2024,
 * https://arxiv.org/abs/2404.16789 (vertical and horizontal forgetting). Every difference has the sign that makes more
 * of what the metric is named for positive, whichever side of the score is better.
 */

/** A score; null where it was not measured. */
export type Score = number | null;

export interface ScoreMatrix {
  /** After each task that was learnt so far, in order, the score of every task of the stream: R, (T, tasks). */
  readonly after: readonly (readonly Score[])[];
  /** Scores of the model before the first task. */
  readonly before?: readonly Score[];
  /** Scores of a model that learnt all tasks at once. */
  readonly joint?: readonly Score[];
  /** A score of abilities that no task is about, before the first task and after the last. */
  readonly general?: { readonly before: Score; readonly after: Score };
  readonly better: "higher" | "lower";
}

/** Metrics of a matrix; those that lack a score, or a second task, are left out. */
export interface ContinualMetrics {
  /** Mean score of the tasks so far after the last of them (ACC). */
  readonly average?: number;
  /** Mean over the tasks but the last of what was lost since the best score before the last task (F). */
  readonly forgetting?: number;
  /** Mean over the tasks but the last of what was gained since the task itself was learnt (BWT). */
  readonly backward_transfer?: number;
  /** Mean over the tasks but the first of what earlier tasks brought, beside the model before all (FWT). */
  readonly forward_transfer?: number;
  /** Mean score of each task right after it was learnt: plasticity (LA). */
  readonly learning?: number;
  /** Mean over the tasks of what joint training scores above the score right after the task. */
  readonly intransigence?: number;
  /** The part of general ability that is kept: 1 is all (GR). */
  readonly general_retention?: number;
  /** The loss of general ability, in units of its score. */
  readonly vertical_forgetting?: number;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The mean of f at 0 <= j < count; undefined without a j, or where f has no value. */
function meanOf(count: number, f: (j: number) => Score): number | undefined {
  const values = Array.from({ length: count }, (_, j) => f(j));
  return values.length > 0 && values.every((value) => value !== null) ? mean(values) : undefined;
}

/** a − b, in the direction of better. */
const gain = (a: Score | undefined, b: Score | undefined, better: ScoreMatrix["better"]): Score =>
  typeof a !== "number" || typeof b !== "number" ? null : better === "higher" ? a - b : b - a;

/** Throws RangeError for a matrix that is not one. */
function check({ after, before, joint }: ScoreMatrix): void {
  const tasks = after[0]?.length ?? before?.length ?? 0;
  if (after.length > tasks) throw new RangeError(`${after.length} tasks were learnt, but scores are of ${tasks}`);
  for (const [name, row] of [...after.entries(), ["before", before] as const, ["joint", joint] as const])
    if (row !== undefined && row.length !== tasks)
      throw new RangeError(`row ${name} has ${row.length} scores, and others have ${tasks}`);
}

/** The best of a task's scores before the last task; null where one is missing. */
function best({ after, better }: ScoreMatrix, j: number): Score {
  const scores = after.slice(0, -1).map((row) => row[j]!);
  // What no model could be asked for before the task (a head without its classes) is no best score.
  const known = scores.filter((score, i) => score !== null || i >= j);
  if (known.some((score) => score === null)) return null;
  const values = known as number[];
  return better === "higher" ? Math.max(...values) : Math.min(...values);
}

/** Metrics after the last task of the matrix. Throws RangeError where rows differ in length. */
export function continualMetrics(matrix: ScoreMatrix): ContinualMetrics {
  check(matrix);
  const { after, before, joint, general, better } = matrix;
  const done = after.length;
  const last = after.at(-1);
  const found = {
    average: meanOf(done, (j) => last![j]!),
    forgetting: meanOf(done - 1, (j) => gain(best(matrix, j), last![j], better)),
    backward_transfer: meanOf(done - 1, (j) => gain(last![j], after[j]![j], better)),
    forward_transfer: meanOf(done - 1, (j) => gain(after[j]![j + 1], before?.[j + 1], better)),
    learning: meanOf(done, (j) => after[j]![j]!),
    intransigence: meanOf(done, (j) => gain(joint?.[j], after[j]![j], better)),
    general_retention: retained(general, better),
    vertical_forgetting: gain(general?.before, general?.after, better) ?? undefined,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function retained(general: ScoreMatrix["general"], better: ScoreMatrix["better"]): number | undefined {
  if (!general || general.before === null || general.after === null) return undefined;
  const [part, whole] = better === "higher" ? [general.after, general.before] : [general.before, general.after];
  return whole === 0 ? undefined : part / whole;
}

/**
 * Accumulation, retention and their geometric mean: means over the scores of tasks that were learnt, and of those that
 * no task is about. Roth et al., NeurIPS 2024, https://arxiv.org/abs/2408.14471
 */
export function accumulation(learnt: readonly number[], held: readonly number[]) {
  const [gained, kept] = [mean(learnt), mean(held)];
  return { accumulation: gained, retention: kept, balance: Math.sqrt(gained * kept) };
}
