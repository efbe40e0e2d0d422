/**
 * A stream of rows that a learner answers batch by batch, and what its answers were worth: every batch is answered
 * before it is learnt from.
 */
import { stackExamples } from "../../data/batch.ts";
import type { StreamRow, Stretch } from "../../data/corrupting/stretch.ts";
import type { Example } from "../../data/examples.ts";
import { IGNORED } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import { hasProbabilities } from "../not-finite.ts";
import type { Learner, StreamBatch } from "./contract.ts";

/** What the answers to some rows were worth. */
export interface Score {
  readonly rows: number;
  /** Rows whose label is known, and how many of them were answered wrongly. */
  readonly labelled: number;
  readonly wrong: number;
  /** Share of wrong answers; undefined where no label is known. */
  readonly error: number | undefined;
  /** Share of the answer that was given most: near 1 where all rows get one class. */
  readonly topShare: number;
}

/** Answers that were given, counted. */
export class Tally {
  #labelled = 0;
  #wrong = 0;
  readonly #given = new Map<number, number>();

  add(answer: number, label: number): void {
    this.#given.set(answer, (this.#given.get(answer) ?? 0) + 1);
    if (label < 0) return;
    this.#labelled++;
    if (answer !== label) this.#wrong++;
  }

  get score(): Score {
    const rows = [...this.#given.values()].reduce((a, b) => a + b, 0);
    const most = Math.max(0, ...this.#given.values());
    const [labelled, wrong] = [this.#labelled, this.#wrong];
    return { rows, labelled, wrong, error: labelled > 0 ? wrong / labelled : undefined, topShare: most / rows };
  }
}

/** The answer to every row. */
export interface Answered {
  readonly row: StreamRow;
  readonly stretch: Stretch;
  readonly answer: number;
  /** (K) */
  readonly scores: Float32Array;
}

export interface RunOptions {
  readonly batchSize: number;
  /** When a learner comes back to where it began. */
  readonly episodic: "none" | "batch" | "domain";
  readonly signal: AbortSignal;
  /** Hears the answers of each batch, in order. */
  readonly answered?: (answers: readonly Answered[]) => void;
}

const unlabelled = (example: Example): Example => ({ ...example, label: IGNORED });

/** The batch of some rows, whose labels a learner does not see. */
export function streamBatch(examples: readonly Example[], index: number): StreamBatch {
  const rows = examples.map(unlabelled);
  return { batch: stackExamples(rows), rows, index };
}

/** The answers of a learner to a batch. Throws UserError where a row has no score that is a number. */
async function answersOf(learner: Learner, batch: StreamBatch, stretch: string) {
  const predicted = await learner.predict(batch);
  const { scores } = predicted;
  const classes = scores.length / batch.rows.length;
  const each = batch.rows.map((_, i) => scores.subarray(i * classes, (i + 1) * classes));
  const odd = each.findIndex((row) => !hasProbabilities(row));
  if (odd >= 0)
    throw new UserError(
      `${batch.rows[odd]!.place} (${stretch}): the scores of the answer are not finite`,
      "a smaller --lr; bun run inspect MODEL --check names weights of the source that are not finite",
      1,
    );
  return { predicted, each };
}

const largest = (values: Float32Array): number => {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[at]!) at = i;
  return at;
};

/** What a stretch was worth, all of it and by domain. */
export interface StretchScore extends Score {
  readonly stretch: Stretch;
  readonly domains: ReadonlyMap<string, Score>;
}

/** Runs a stream through a learner; gives what its answers to each stretch were worth. */
export async function runStretches(
  learner: Learner,
  stretches: readonly Stretch[],
  { batchSize, episodic, signal, answered }: RunOptions,
): Promise<StretchScore[]> {
  const scores: StretchScore[] = [];
  let index = 0;
  for (const stretch of stretches) {
    const all = new Tally();
    const domains = new Map<string, Tally>();
    for (let at = 0; at < stretch.rows.length; at += batchSize) {
      signal.throwIfAborted();
      if (index > 0 && (episodic === "batch" || (episodic === "domain" && at === 0))) await learner.reset();
      const rows = stretch.rows.slice(at, at + batchSize);
      const batch = streamBatch(
        rows.map(({ example }) => example),
        index++,
      );
      const { predicted, each } = await answersOf(learner, batch, stretch.name);
      const answers = rows.map((row, i) => ({ row, stretch, answer: largest(each[i]!), scores: each[i]! }));
      for (const { row, answer } of answers) {
        const own = domains.get(row.domain) ?? new Tally();
        domains.set(row.domain, own);
        for (const tally of [all, own]) tally.add(answer, row.example.label);
      }
      answered?.(answers);
      await learner.learn?.(batch, predicted);
    }
    const byDomain = new Map([...domains].map(([name, tally]) => [name, tally.score]));
    scores.push({ stretch, ...all.score, domains: byDomain });
  }
  return scores;
}

/** What a learner's answers to rows are worth that it does not learn from. */
export async function measureRows(
  learner: Learner,
  rows: readonly Example[],
  { batchSize, signal }: Pick<RunOptions, "batchSize" | "signal">,
): Promise<Score> {
  const tally = new Tally();
  for (let at = 0; at < rows.length; at += batchSize) {
    signal.throwIfAborted();
    const part = rows.slice(at, at + batchSize);
    const { each } = await answersOf(learner, streamBatch(part, -1 - at), "source");
    for (const [i, { label }] of part.entries()) tally.add(largest(each[i]!), label);
  }
  return tally.score;
}

/** Means of scores, by rows. */
export function joined(scores: readonly Score[]): Score {
  const sum = (of: (score: Score) => number) => scores.reduce((total, score) => total + of(score), 0);
  const [rows, labelled, wrong] = [sum((s) => s.rows), sum((s) => s.labelled), sum((s) => s.wrong)];
  const topShare = sum((s) => s.topShare * s.rows) / rows;
  return { rows, labelled, wrong, error: labelled > 0 ? wrong / labelled : undefined, topShare };
}
