/** The tasks of a stream from the command line: their rows, those that are held out, and their classes. */
import fs from "node:fs";
import { type GroupReference, parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { nearest } from "../../method/nearest.ts";
import type { Opened } from "../../run/training/technique.ts";
import type { Scenario, Task } from "./contract.ts";
import { type PartBatch, readTaskRows, StreamRows } from "./rows.ts";

/** Values of options separated by commas; a value that is a file with a comma in its name stays whole. */
export const listed = (values: readonly string[]): string[] =>
  values.flatMap((value) => {
    const file = value.replace(/^[^=/\\]*=/, "");
    return fs.existsSync(file) || file.startsWith("hf:") ? [value] : value.split(",").filter((part) => part !== "");
  });

export interface ReadTasks {
  readonly tasks: readonly Task[];
  readonly rows: StreamRows;
  /** Tasks that another stream learnt, of which rows are kept: behind `tasks`, in the order in which they are read. */
  readonly earlier: Task[];
  /** What every task is measured on, by task, in batches. Their refs have the right task, and no row of `rows`. */
  readonly measured: readonly (readonly PartBatch[])[];
  /** The rows that these batches are of. */
  readonly measuredRows: StreamRows;
  /** Whether they are rows that the model learns. */
  readonly measuresLearned: boolean;
}

export interface TaskOptions {
  readonly tasks: readonly string[];
  readonly eval_tasks?: readonly string[] | undefined;
  readonly eval_split?: number | undefined;
  readonly columns?: string | undefined;
  readonly batch_size: number;
  readonly scenario: Scenario;
}

/** Labels beyond the model's classes are read: its head grows. */
const withAnyClass = (opened: Opened): Opened => ({
  ...opened,
  examples: { ...opened.examples, classes: Number.MAX_SAFE_INTEGER },
});

/** The held-out rows of each task, as --eval-tasks names them. Throws UserError for names that do not match. */
function heldOutOf(tasks: readonly GroupReference[], { eval_tasks = [], columns }: TaskOptions): GroupReference[] {
  const given = parseGroups(listed(eval_tasks), columns, "--eval-tasks");
  const names = tasks.map(({ name }) => name);
  const unknown = given.find(({ name }) => !names.includes(name));
  if (unknown)
    throw new UserError(
      `--eval-tasks ${unknown.name}=${unknown.path}: no task has this name`,
      `did you mean ${nearest(unknown.name, names) ?? names[0]}? The tasks are ${names.join(", ")}`,
    );
  return tasks.map(({ name }) => {
    const own = given.find((group) => group.name === name);
    if (own) return own;
    throw new UserError(
      `--eval-tasks names no rows of the task ${name}`,
      `for example --eval-tasks ${name}=rows.jsonl`,
    );
  });
}

/** Reads everything. Throws UserError for the first row that the model cannot take, and for a task without rows. */
export async function readTasks(options: TaskOptions, described: Opened): Promise<ReadTasks> {
  const opened = options.scenario === "domain" ? described : withAnyClass(described);
  const { split } = opened;
  const given = parseGroups(listed(options.tasks), options.columns, "--tasks");
  if (split && options.eval_tasks)
    throw new UserError("both --eval-tasks and --eval-split say what is held out", "give one of them");
  const groups = split?.rest(given) ?? given;
  const read = [];
  for (const [i, group] of groups.entries()) {
    const rows = await readTaskRows(group, opened);
    if (rows.rows.length === 0) throw new UserError(`the task ${given[i]!.name} has no rows`, "leave it out");
    read.push(rows);
  }
  const rows = new StreamRows(read);
  const tasks = given.map(({ name }, index) => {
    const all = rows.of([index]);
    const labels = all.flatMap((ref) => rows.labelOf(ref) ?? []);
    return { index, name, rows: all.length, classes: [...new Set(labels)].sort((a, b) => a - b) };
  });
  const heldOut = options.eval_tasks ? heldOutOf(given, options) : split?.heldOut;
  const held = await heldRows(heldOut, rows, opened);
  const measured = batchesOf(held, heldOut, options);
  return { tasks, rows, earlier: [], measured, measuredRows: held, measuresLearned: !heldOut };
}

/** The held-out rows of all tasks, or the rows that are learnt. */
async function heldRows(
  heldOut: readonly GroupReference[] | undefined,
  learned: StreamRows,
  opened: Opened,
): Promise<StreamRows> {
  const read = [];
  for (const group of heldOut ?? []) read.push(await readTaskRows(group, opened));
  return heldOut ? new StreamRows(read) : learned;
}

/** Batches of them by task. Throws UserError for a task of which no row is held out. */
function batchesOf(
  rows: StreamRows,
  heldOut: readonly GroupReference[] | undefined,
  { batch_size }: TaskOptions,
): PartBatch[][] {
  return rows.tasks.map((_, task) => {
    const all = rows.of([task]);
    if (all.length === 0)
      throw new UserError(`no row of the task ${heldOut![task]!.name} is held out`, "give a larger --eval-split");
    const batches = Math.ceil(all.length / batch_size);
    return Array.from({ length: batches }, (_, i) => rows.plain(all.slice(i * batch_size, (i + 1) * batch_size)));
  });
}
