/** A task opened with its defaults, as the script would open it. */

import type { Row, Split, Task, TaskSource } from "../../../src/data/task.ts";
import { loadMethod } from "../../../src/method/registry.ts";

export async function openTask(
  name: string,
  { seed = 0, split = "train", ...options }: { seed?: number; split?: Split; [option: string]: unknown } = {},
): Promise<TaskSource> {
  const task = (await loadMethod("task", name)) as Task;
  for (const key of Object.keys(options)) if (!(key in task.options)) throw new Error(`${name} has no option ${key}`);
  const values = Object.fromEntries(
    Object.entries(task.options).map(([key, spec]) => [key, key in options ? options[key] : spec.default]),
  );
  return task.open({ seed, split }, values as never);
}

/** The first `count` rows, or all if there are fewer. */
export const rowsOf = (source: TaskSource, count: number): Row[] =>
  Array.from({ length: Math.min(count, source.rows) }, (_, i) => source.row(i));
