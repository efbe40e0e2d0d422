/** A task opened with its defaults and what is given besides, as the script opens it. */

import type { Row, Split, TaskSource } from "../../../src/data/task.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";

export async function openTask(
  name: string,
  { seed = 0, split = "train", ...options }: { seed?: number; split?: Split; [option: string]: unknown } = {},
): Promise<TaskSource> {
  const task = await loadMethod("task", name);
  for (const key of Object.keys(options)) if (!(key in task.options)) throw new Error(`${name} has no option ${key}`);
  return task.open({ seed, split }, bindDefaults(task, options).values);
}

/** The first `count` rows, or all if there are fewer. */
export const rowsOf = (source: TaskSource, count: number): Row[] =>
  Array.from({ length: Math.min(count, source.rows) }, (_, i) => source.row(i));
