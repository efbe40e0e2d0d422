/** The rows of all tasks of a stream, in memory, and batches of any of them. */
import { type Batch, collate, largestExample, stackExamples } from "../../data/batch.ts";
import { loadSequences } from "../../data/dataset.ts";
import { type Example, loadExamples } from "../../data/examples.ts";
import type { GroupReference } from "../../data/groups.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Opened } from "../../run/training/technique.ts";

/** A row of a stream: the task that it is of, and its place among the task's rows. */
export interface RowRef {
  readonly task: number;
  readonly row: number;
}

/** A batch, and the rows that it is made of: one for each of its rows, the first where several are packed. */
export interface PartBatch {
  readonly batch: Batch;
  readonly refs: readonly RowRef[];
  /** Of a training: which batch of the stage it is, for what is drawn at random. */
  readonly draw?: string;
  /** Of a training: its place among the batches of the stage, from 0. */
  readonly place?: number;
}

/** The rows of one task, read for a language model or for a classifier. */
export type TaskRows =
  | { readonly kind: "text"; readonly rows: readonly Sequence[]; readonly pad: number }
  | { readonly kind: "examples"; readonly rows: readonly Example[] };

/** Reads the rows of one task. Throws UserError for the first row that the model cannot take. */
export async function readTaskRows(
  group: GroupReference,
  { tools, examples }: Pick<Opened, "tools" | "examples">,
): Promise<TaskRows> {
  if (!tools) return { kind: "examples", rows: await loadExamples([group], examples) };
  const { sequences } = await loadSequences([group], tools.encode);
  return { kind: "text", rows: sequences, pad: tools.tokenizer?.pad ?? 0 };
}

/** The rows of a task as a group of their own: what adapters that choose by task go by. */
const withGroup = (own: TaskRows, group: number): TaskRows =>
  own.kind === "text"
    ? { ...own, rows: own.rows.map((row) => ({ ...row, group })) }
    : { ...own, rows: own.rows.map((row) => ({ ...row, group })) };

export class StreamRows {
  readonly #tasks: TaskRows[];

  constructor(tasks: readonly TaskRows[]) {
    this.#tasks = tasks.map((own, group) => withGroup(own, group));
  }

  /** By task; behind the stream's tasks come sets of rows that were added. */
  get tasks(): readonly TaskRows[] {
    return this.#tasks;
  }

  /** Adds rows of no file, such as a model wrote; `pad` as in the other tasks. They are a task behind all others. */
  add(rows: readonly Sequence[]): RowRef[] {
    const first = this.#tasks[0];
    if (first?.kind !== "text") throw new RangeError("only sequences are added");
    const task = this.#tasks.push({ ...first, rows }) - 1;
    return rows.map((_, row) => ({ task, row }));
  }

  /** Adds rows of a task that is over; its index, behind all others. */
  append(own: TaskRows): number {
    return this.#tasks.push(withGroup(own, this.#tasks.length)) - 1;
  }

  /** All rows of some tasks, one task after the other. */
  of(tasks: readonly number[]): RowRef[] {
    return tasks.flatMap((task) => Array.from({ length: this.#tasks[task]!.rows.length }, (_, row) => ({ task, row })));
  }

  /** The label of a row for a classifier; undefined for a language model. */
  labelOf({ task, row }: RowRef): number | undefined {
    const rows = this.#tasks[task]!;
    return rows.kind === "examples" ? rows.rows[row]!.label : undefined;
  }

  /** Tokens of a row; 1 of an example. */
  lengthOf({ task, row }: RowRef): number {
    const rows = this.#tasks[task]!;
    return rows.kind === "text" ? rows.rows[row]!.ids.length : 1;
  }

  /** The token ids and labels, or the values and the label, of a row: what a digest or a file is made of. */
  contentOf({ task, row }: RowRef): Sequence | Example {
    return this.#tasks[task]!.rows[row]!;
  }

  /** A batch of bins of rows; a bin of several rows is one packed row, of language models alone. */
  batch(bins: readonly (readonly RowRef[])[]): PartBatch {
    const refs = bins.map(([first]) => first!);
    const first = this.#tasks[refs[0]!.task]!;
    const batch =
      first.kind === "text"
        ? collate(
            bins.map((bin) => bin.map((ref) => this.#sequence(ref))),
            { pad: first.pad },
          )
        : stackExamples(bins.flat().map((ref) => this.#example(ref)));
    return { batch, refs };
  }

  /** A batch of one row a row. */
  plain(refs: readonly RowRef[]): PartBatch {
    return this.batch(refs.map((ref) => [ref]));
  }

  /** A batch of `size` rows of `tokens` tokens, each of two sequences, for planning. Its contents do not matter. */
  packedLargest(like: RowRef, size: number, tokens: number): PartBatch {
    const sequence = this.#sequence(like);
    const half = (part: number) => ({ ...sequence, ids: new Int32Array(part), labels: new Int32Array(part) });
    const first = Math.ceil(tokens / 2);
    const bins = Array.from({ length: size }, () => [half(first), half(tokens - first)]);
    return { batch: collate(bins), refs: bins.map(() => like) };
  }

  /** The largest of these rows: of most tokens, the first of equals. */
  largest(refs: readonly RowRef[]): RowRef {
    const examples = refs.filter(({ task }) => this.#tasks[task]!.kind === "examples");
    if (examples.length > 0) {
      const of = new Map(examples.map((ref) => [this.#example(ref), ref] as const));
      return of.get(largestExample([...of.keys()]))!;
    }
    return refs.reduce((a, b) => (this.lengthOf(b) > this.lengthOf(a) ? b : a));
  }

  #sequence({ task, row }: RowRef): Sequence {
    const rows = this.#tasks[task]!;
    if (rows.kind !== "text") throw new RangeError(`task ${task} has examples`);
    return rows.rows[row]!;
  }

  #example({ task, row }: RowRef): Example {
    const rows = this.#tasks[task]!;
    if (rows.kind !== "examples") throw new RangeError(`task ${task} has text`);
    return rows.rows[row]!;
  }
}
