/**
 * What a procedural task is: a name, a source, options, laws, and a function from a row's index to the row.
 *
 * Every file of tasks/ exports `method`, a task; `data addition` is `addition.ts`. A row is a function of the seed, the
 * split and its index alone, so a set of 100 rows is the beginning of the set of 1000, and any row can be made without
 * the ones before it. The seed fixes the world (a language, a population, class means); all splits of a seed share it.
 */

import { UserError } from "../errors.ts";
import type { Laws } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import { hashOf, type Random } from "./random.ts";

export type Split = "train" | "validation" | "test";

export const SPLITS: readonly Split[] = ["train", "validation", "test"];

/**
 * One line of the output: `text`, `prompt` and `completion`, `input_ids`, or `x` and `label`, and what describes it.
 */
export type Row = Readonly<Record<string, unknown>>;

export interface Where {
  readonly seed: number;
  readonly split: Split;
}

/** The rows of one split of one seed. */
export interface TaskSource {
  /** How many rows there are; Infinity if rows are drawn without end. */
  readonly rows: number;
  /** The row at 0 <= index < rows. */
  row(index: number): Row;
  /**
   * What is known of the rows without looking at them, for `--json` and stderr. Keys in snake_case, entropies in nats.
   */
  readonly facts: Readonly<Record<string, unknown>>;
}

/**
 * What a task may claim besides what all tasks promise (rows as functions of seed, split and index; different rows for
 * different seeds; facts that JSON keeps):
 *
 *   apart         no content is in two splits, whatever the seeds
 *   distinctRows  no row comes twice within a split
 *   answered      every row holds its answer: `answer`, `completion` or `label`
 *   endless       there are as many rows as are asked for
 */
export type TaskLaw = "apart" | "distinctRows" | "answered" | "endless";

export interface Task<O extends Options = Options> extends MethodInfo<O> {
  /** How rows of different splits are kept apart, in a sentence. */
  readonly splits: string;
  readonly laws: Laws<TaskLaw>;
  /**
   * What two splits must not share, where `apart` is claimed; undefined for rows that all splits have. The row when
   * left out.
   */
  content?(row: Row): string | undefined;
  /** Settings that the laws are tried with; the defaults alone when left out. */
  readonly trials?: readonly Partial<Values<O>>[];
  /** Throws UserError where options contradict each other. */
  open(where: Where, values: Values<O>): TaskSource;
}

/** Declares a task and infers the types of its options. */
export const task = <const O extends Options>(definition: Task<O>): Task<O> => definition;

/** The split that a piece of content belongs to, whatever the seed: 8 of 10 to train, 1 to validation, 1 to test. */
export function splitOf(content: string): Split {
  const share = Number(hashOf(`split\0${content}`) % 10n);
  return share === 0 ? "test" : share === 1 ? "validation" : "train";
}

/**
 * Draws until the content belongs to the split. `content` is what must not be shared between splits; undefined rejects
 * the draw. Throws UserError after `tries` draws, when the options leave nothing (or next to nothing) to draw.
 */
export function drawInSplit<T>(
  random: Random,
  split: Split,
  draw: (random: Random) => T,
  content: (drawn: T) => string | undefined,
  tries = 50_000,
): T {
  for (let i = 0; i < tries; i++) {
    const drawn = draw(random);
    const text = content(drawn);
    if (text !== undefined && splitOf(text) === split) return drawn;
  }
  throw new UserError(
    `no row for the ${split} split in ${tries} draws`,
    "these options leave too few different rows; ask for larger ones",
  );
}

declare module "../method/registry.ts" {
  interface Contracts {
    task: Task;
  }
}
