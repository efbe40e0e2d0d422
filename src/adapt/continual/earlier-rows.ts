/** Rows that another stream kept, from the file beside its result that buffer-file.ts writes. */
import fs from "node:fs";
import { parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import type { Opened } from "../../run/training/technique.ts";
import type { Earlier, Task } from "./contract.ts";
import { type RowRef, readTaskRows, type StreamRows, type TaskRows } from "./rows.ts";

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
