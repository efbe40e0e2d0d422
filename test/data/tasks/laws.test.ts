/** What all procedural tasks promise, and the laws that each claims in its file. */
import { describe, expect, test } from "bun:test";
import { SPLITS, type Task, type TaskLaw } from "../../../src/data/task.ts";
import { claimed } from "../../../src/method/laws.ts";
import { loadMethods, methodNames } from "../../../src/method/registry.ts";
import { openTask, rowsOf } from "./open-task.ts";

type Given = Record<string, unknown>;
const tasks = await loadMethods("task");
const trials = tasks.flatMap((task) => (task.trials ?? [{}]).map((trial) => [task, trial] as const));

test("a task says what it is: its file's name, a citation, help and a default for every option", () => {
  expect(tasks.map(({ name }) => name)).toEqual(methodNames("task"));
  for (const { cite, title, about, splits, options } of tasks) {
    for (const text of [cite, title, about, splits, ...Object.values(options).map(({ help }) => help)])
      expect(text).not.toBe("");
    for (const option of Object.values(options)) expect(option.default).toBeDefined();
  }
});

const LAWS: Record<TaskLaw, (task: Task, trial: Given) => Promise<void>> = {
  async apart({ name, content = (row) => JSON.stringify(row) }, trial) {
    const homes = new Map<string, string>();
    for (const split of SPLITS)
      for (const seed of [0, 1])
        for (const row of rowsOf(await openTask(name, { ...trial, split, seed }), 250)) {
          const found = content(row);
          if (found === undefined) continue;
          expect(homes.get(found) ?? split).toBe(split);
          homes.set(found, split);
        }
  },
  async distinctRows({ name }, trial) {
    for (const split of SPLITS) {
      const rows = rowsOf(await openTask(name, { ...trial, split }), 250).map((row) => JSON.stringify(row));
      expect(new Set(rows).size).toBe(rows.length);
    }
  },
  async answered({ name }, trial) {
    for (const { answer, completion, label, y } of rowsOf(await openTask(name, trial), 50))
      expect(answer ?? completion ?? label ?? y).toBeDefined();
  },
  async endless({ name }, trial) {
    const source = await openTask(name, trial);
    expect(source.rows).toBe(Number.POSITIVE_INFINITY);
    expect(source.row(1e9)).toBeDefined();
  },
};

describe.each(trials.map(([task, trial]) => [task.name, trial, task] as const))("%s %j", (name, trial, task) => {
  test("a row depends on seed, split and index, not on what was made before", async () => {
    for (const split of SPLITS) {
      const rows = rowsOf(await openTask(name, { ...trial, split, seed: 3 }), 40);
      const again = await openTask(name, { ...trial, split, seed: 3 });
      expect(rows.length).toBeGreaterThan(0);
      for (let i = rows.length - 1; i >= 0; i -= 3) expect(again.row(i)).toEqual(rows[i]!);
      expect(JSON.parse(JSON.stringify(rows))).toEqual(rows); // nothing that JSON would lose
    }
  });

  test("seeds differ", async () => {
    const [a, b] = [await openTask(name, { ...trial, seed: 1 }), await openTask(name, { ...trial, seed: 2 })];
    expect(rowsOf(a, 20)).not.toEqual(rowsOf(b, 20));
  });

  test("facts survive JSON", async () => {
    const { facts } = await openTask(name, trial);
    expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
  });

  for (const law of claimed(task.laws)) test(`law: ${law}`, () => LAWS[law](task, trial));
});
