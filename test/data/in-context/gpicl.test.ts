/** Tasks in context: rows in plain arithmetic, seen and unseen tasks, and the command; the probe that reads them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InContextTasks, type TaskOptions } from "../../../src/data/in-context/tasks.ts";
import { runScript } from "../../support/command.ts";

const EXAMPLES = Array.from({ length: 30 }, (_, i) => ({ x: [Math.sin(i), Math.cos(i), i % 3], label: i % 3 }));
const OPTIONS: TaskOptions = {
  ...{ tasks: 4, unseen: false, pairs: 6, dims: 2, bins: 8, unpermuted: 0, shuffle_labels: false, seed: 5 },
};
const rowsOf = (more: Partial<TaskOptions>, count = 40) => {
  const tasks = new InContextTasks(EXAMPLES, { ...OPTIONS, ...more });
  return Array.from({ length: count }, (_, i) => tasks.row(i));
};
/** Token of the class by the tokens of numbers before it, where each example is known by them. */
const classesOf = ({ input_ids: ids }: { readonly input_ids: readonly number[] }) =>
  Array.from({ length: ids.length / 3 }, (_, i) => ids[3 * i + 2]!);

test("classes alone count, numbers and classes have tokens of their own, and rows follow the seed and the index", () => {
  for (const { input_ids: ids, labels, task } of rowsOf({})) {
    expect([ids.length, labels.length, task < 4]).toEqual([18, 18, true]);
    for (const [i, id] of ids.entries()) {
      const isClass = i % 3 === 2;
      expect(labels[i]).toBe(isClass ? id : -100);
      expect(id).toBeWithin(isClass ? 8 : 0, isClass ? 11 : 8);
    }
  }
  expect(rowsOf({}).slice(0, 3)).toEqual(rowsOf({}, 3));
  expect(rowsOf({ seed: 6 }, 3)).not.toEqual(rowsOf({}, 3));
});

test("unseen tasks are none of the seen, and one task without an order of its own keeps the classes", () => {
  expect(Math.min(...rowsOf({ unseen: true }).map(({ task }) => task))).toBeGreaterThanOrEqual(4);
  // One task, and classes as they are: an ordinary classifier of projected inputs.
  const plain = rowsOf({ tasks: 1, unpermuted: 1 }, 200);
  const third = EXAMPLES.map(({ label }) => label);
  const counts = [8, 9, 10].map((token) => plain.flatMap(classesOf).filter((id) => id === token).length);
  for (const count of counts) expect(Math.abs(count / 1200 - 1 / 3)).toBeLessThan(0.06);
  expect(new Set(third).size).toBe(3);
  const orders = new Set(rowsOf({ tasks: 50, pairs: 30 }, 60).map((row) => classesOf(row)[0]));
  expect(orders.size).toBe(3);
});

test("the same inputs of one task have one class, unless classes are shuffled", () => {
  const contradictions = (more: Partial<TaskOptions>) => {
    let count = 0;
    const known = new Map<string, number>();
    for (const { input_ids: ids, task } of rowsOf({ bins: 512, ...more }, 60))
      for (let i = 0; i < ids.length; i += 3) {
        const key = `${task} ${ids[i]} ${ids[i + 1]}`;
        if (known.has(key) && known.get(key) !== ids[i + 2]) count++;
        known.set(key, ids[i + 2]!);
      }
    return count;
  };
  expect(contradictions({})).toBe(0);
  expect(contradictions({ shuffle_labels: true })).toBeGreaterThan(20);
});

let folder = "";
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-gpicl-"));
  writeFileSync(join(folder, "base.jsonl"), EXAMPLES.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(join(folder, "text.jsonl"), '{"text": "a"}\n');
  const tiny = {
    ...{ model_type: "llama", hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 },
    ...{ vocab_size: 19, max_position_embeddings: 64 },
  };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(tiny));
  const made = await run("data", "gpicl base.jsonl --pairs 4 --dims 3 --size 12 -q -o tasks.jsonl");
  expect(made.err).toBe("");
  const trained = await run("train", "--init tiny.json --data tasks.jsonl --steps 1 -q -o fresh/");
  expect(trained.err).toBe("");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the probe tells accuracy by place, and the gain of the last over the first", async () => {
  const { text, err } = await run("evaluate", "fresh --data tasks.jsonl --probe icl-gain --json -q");
  expect(err).toBe("");
  const [row] = JSON.parse(text).rows;
  expect([row.rows, row.curve.length]).toEqual([12, 4]);
  expect(row.gain).toBeCloseTo(row.curve[3] - row.curve[0], 12);
  expect(row.interval[0]).toBeLessThanOrEqual(row.gain);
});

test.each([
  ["data", "gpicl text.jsonl -o x.jsonl", "text.jsonl:1: expected x and label, found a row of text"],
  ["evaluate", "fresh --data tasks.jsonl --probe icl-gain --metric loss", "--metric has no effect"],
])("%s %s is refused", async (script, line, message) => {
  const { code, err } = await run(script, line);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
