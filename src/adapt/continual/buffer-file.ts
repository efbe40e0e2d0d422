/**
 * The rows that a stream keeps of its tasks, as JSONL beside its result, so that another stream can begin with them.
 * Every line is a row as data has it (input_ids and labels, or x and label), with two keys more: `task`, the name of
 * its task, and `seen`, of how many rows the buffer is a choice.
 */
import fs from "node:fs";
import type { Example } from "../../data/examples.ts";
import { parseGroups } from "../../data/groups.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import type { Opened } from "../../run/training/technique.ts";
import { forget, temporaryFor } from "../../temporary.ts";
import type { Earlier, Learner, Task } from "./contract.ts";
import { besideResult } from "./further.ts";
import { type RowRef, readTaskRows, type StreamRows, type TaskRows } from "./rows.ts";
import type { StreamRun } from "./stages.ts";

/** The end of the file's name, after that of the result. */
const NAME = "buffer.jsonl";

/** A row as data has it; undefined of a pair of texts, which no task of a stream has. */
function rowOf(content: Sequence | Example): JsonObject | undefined {
  if ("ids" in content) {
    const { ids, labels } = content;
    return { input_ids: [...ids], ...(labels === ids ? {} : { labels: [...labels] }) };
  }
  if ("x" in content) return { x: [...content.x], label: content.label };
  if ("pair" in content) return undefined;
  const { ids, types } = content.tokens;
  return {
    input_ids: [...ids],
    ...(types.some((type) => type !== 0) ? { token_type_ids: [...types] } : {}),
    label: content.label,
  };
}

const keeps = (learner: Learner): boolean => learner.memoryRows !== undefined;

/** Throws UserError where a file of an earlier run lies there, of a stream that has not begun to learn. */
export function refuseBuffer({ context, learner, opened }: StreamRun): void {
  const file = besideResult(context.out, NAME);
  if (!keeps(learner) || file === undefined || opened.saved || context.options.overwrite || !fs.existsSync(file))
    return;
  throw new UserError(
    `${file} is there already, and the rows that are kept go there`,
    "write to another place, or give --overwrite",
  );
}

/** Writes the rows that are kept at the end, in their order, where there are some. */
export function saveBuffer({ context, learner, read }: StreamRun): void {
  const rows = learner.memoryRows?.() ?? [];
  if (rows.length === 0) return;
  const file = besideResult(context.out, NAME);
  if (file === undefined) {
    context.info(
      `the ${rows.length} rows of the buffer are not written: they go beside a result that is a file or a folder`,
    );
    return;
  }
  const names = new Map([...read.tasks, ...read.earlier].map(({ index, name }) => [index, name]));
  const seen = learner.memorySeen?.() ?? rows.length;
  const lines = rows.flatMap((ref) => {
    const row = rowOf(read.rows.contentOf(ref));
    return row ? [`${JSON.stringify({ ...row, task: names.get(ref.task) ?? "written", seen })}\n`] : [];
  });
  const temporary = temporaryFor(file);
  fs.writeFileSync(temporary, lines.join(""));
  fs.renameSync(temporary, file);
  forget(temporary);
  context.info(`the ${rows.length} rows of the buffer are in ${file}`);
}

/** What every line says beside its row. Throws UserError for a file that no stream wrote. */
function marksOf(file: string): { readonly tasks: readonly string[]; readonly seen: number } {
  let text: string;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`--buffer-from ${file} cannot be read: ${(error as Error).message}`, "is the path right?");
  }
  let seen = 0;
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const tasks = lines.map((line, i) => {
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch {
      row = undefined;
    }
    const { task, seen: own = lines.length } = isObject(row as JsonObject) ? (row as JsonObject) : {};
    if (typeof task !== "string" || typeof own !== "number" || !Number.isSafeInteger(own))
      throw new UserError(
        `--buffer-from ${file}:${i + 1} does not name its task`,
        "give a file OUT-buffer.jsonl that adapt --tasks wrote beside OUT",
      );
    seen = Math.max(seen, own);
    return task;
  });
  return { tasks, seen: Math.max(seen, tasks.length) };
}

/** Numbers in the shape that the tasks' rows have: the file has them as a list. */
function shaped(own: TaskRows, like: TaskRows): TaskRows {
  const first = like.rows[0]!;
  if (own.kind !== "examples" || !("x" in first)) return own;
  const { shape, x } = first;
  return {
    kind: "examples",
    rows: own.rows.map((row) => ("x" in row && row.x.length === x.length ? { ...row, shape } : row)),
  };
}

/**
 * Reads such a file and adds its rows to those of the stream: a task for each that they are of, behind all others.
 * Throws UserError for rows that the model cannot take.
 */
export async function readBuffer(
  file: string,
  { opened, rows }: { readonly opened: Opened; readonly rows: StreamRows },
): Promise<Earlier & { readonly tasks: readonly Task[] }> {
  const { tasks, seen } = marksOf(file);
  const [group] = parseGroups([`buffer=${file}`], undefined, "--buffer-from");
  const read = await readTaskRows(group!, opened);
  if (read.rows.length !== tasks.length)
    throw new UserError(
      `--buffer-from ${file} has ${tasks.length} lines and ${read.rows.length} rows`,
      "long rows are split: raise --max-length",
    );
  const like = shaped(read, rows.tasks[0]!);
  const refs: RowRef[] = Array(tasks.length);
  const made = [...new Set(tasks)].map((name): Task => {
    const places = [...tasks.keys()].filter((at) => tasks[at] === name);
    const own = places.map((at) => like.rows[at]!);
    const index = rows.append({ ...like, rows: own } as TaskRows);
    for (const [row, at] of places.entries()) refs[at] = { task: index, row };
    const labels = own.flatMap((row) => ("label" in row ? [row.label] : []));
    return { index, name, rows: own.length, classes: [...new Set(labels)].sort((a, b) => a - b) };
  });
  return { rows: refs, seen, tasks: made };
}
