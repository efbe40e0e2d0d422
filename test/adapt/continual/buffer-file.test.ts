/** The rows that a stream keeps, beside its result, and streams that begin with them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { dataOf } from "../../support/checkpoint-values.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

setDefaultTimeout(120_000); // the machine may be busy
const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, 20));
  lab.write(`${name}6.jsonl`, pairRows(task, 16, { label: 2 * task }));
}
lab.json("net.json", NET);
lab.json("net6.json", { ...NET, num_labels: 6 });
const SHORT = "--epochs 2 --lr 0.02 --save-every 0";

interface Row {
  readonly task: string;
  readonly seen: number;
  readonly x?: number[];
  readonly label?: number;
}

const rowsIn = (name: string): Row[] =>
  lab
    .bytes(name)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

beforeAll(async () => {
  await lab.run(`--init @net.json --tasks @a.jsonl,@b.jsonl --method er --buffer 10 ${SHORT} -o @first`);
});

test("the file has the rows that are kept, as data has them, with their tasks", async () => {
  const rows = rowsIn("first-buffer.jsonl");
  expect(rows).toHaveLength(10);
  expect(new Set(rows.map(({ task }) => task))).toEqual(new Set(["a", "b"]));
  const known = NAMES.map((_, task) => pairRows(task, 20));
  for (const { task, seen, x, label } of rows) {
    expect(seen).toBe(40);
    const own = known[NAMES.indexOf(task)]!.find((row) => Math.hypot(...row.x.map((v, i) => v - x![i]!)) < 1e-6);
    expect(own?.label).toBe(label!);
  }
  await lab.run(`--init @net.json --tasks @a.jsonl,@b.jsonl --method er --buffer 10 ${SHORT} -o @again`);
  expect(lab.bytes("again-buffer.jsonl")).toEqual(lab.bytes("first-buffer.jsonl"));
  // A method without a buffer, and a buffer without rows, leave none.
  await lab.run(`--init @net.json --tasks @a.jsonl --method er --buffer 0 --steps 1 --save-every 0 -o @none`);
  expect(existsSync(lab.at("none-buffer.jsonl"))).toBe(false);
});

test("a reservoir goes on as if the stream had", async () => {
  await lab.run(`@first --tasks @c.jsonl --method er --buffer 10 --buffer-from @first-buffer.jsonl ${SHORT} -o @later`);
  await lab.run(`--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl --method er --buffer 10 ${SHORT} -o @whole`);
  expect(lab.bytes("later-buffer.jsonl")).toEqual(lab.bytes("whole-buffer.jsonl"));
  expect(new Set(rowsIn("later-buffer.jsonl").map(({ task }) => task)).size).toBe(3);
  // Old rows take part from the first task on.
  const without = await lab.run(`@first --tasks @c.jsonl --method er --buffer 10 ${SHORT} -o @without`);
  expect(without.json.buffer).toBe(10);
  expect(dataOf(lab.bytes("without/model.safetensors"))).not.toEqual(dataOf(lab.bytes("later/model.safetensors")));
});

test.each(["er", "der++", "gem", "unified"])("%s begins with them, and resumes to the same bytes", async (method) => {
  const name = method.replaceAll("+", "p");
  const line = `@first --tasks @c.jsonl --method ${method} --buffer 12 --buffer-from @first-buffer.jsonl`;
  const short = `${line} --steps 6 --lr 0.02 --save-every 2`;
  const whole = await lab.run(`${short} -o @${name}-whole`);
  await lab.run(`${short} -o @${name}-cut --resume`, { task: "c", step: 3 });
  expect((await lab.run(`${short} -o @${name}-cut --resume`)).json).toEqual(whole.json);
  const weights = (run: string) => dataOf(lab.bytes(`${name}-${run}/model.safetensors`));
  expect(weights("cut")).toEqual(weights("whole"));
  expect(lab.bytes(`${name}-cut-buffer.jsonl`)).toEqual(lab.bytes(`${name}-whole-buffer.jsonl`));
  await lab.run(`@first --tasks @c.jsonl --method ${method} --buffer 12 --steps 6 --lr 0.02 -o @${name}-plain`);
  expect(weights("plain")).not.toEqual(weights("whole"));
});

test("classes of streams before stay among those that have come", async () => {
  const two = `--init @net6.json --tasks @a6.jsonl,@b6.jsonl --scenario class --method er --buffer 12`;
  await lab.run(`${two} ${SHORT} -o @classes`);
  const line = `@classes --tasks @c6.jsonl --scenario class --method er --buffer 12 ${SHORT}`;
  const all = await lab.run(`${line} --buffer-from @classes-buffer.jsonl -o @classes-all`);
  const own = await lab.run(`${line} -o @classes-own`);
  // Of six classes the task's two have less of the probability than of two.
  expect(all.json.before.loss[0][0]).toBeGreaterThan(own.json.before.loss[0][0]);
  expect(new Set(rowsIn("classes-all-buffer.jsonl").map(({ label }) => label)).size).toBeGreaterThan(2);
});

test("rows of tokens keep the labels that do not count", async () => {
  const rows = (from: number) =>
    Array.from({ length: 8 }, (_, i) => {
      const input_ids = Array.from({ length: 5 }, (_, k) => (from + 3 * i + k) % 30);
      return { input_ids, labels: input_ids.map((id, k) => (k < 2 ? -100 : id)) };
    });
  lab.write("text-a.jsonl", rows(0));
  lab.write("text-b.jsonl", rows(7));
  lab.json("text.json", TINY_TEXT.llama);
  const line = "--method er --buffer 5 --steps 2 --save-every 0";
  await lab.run(`--init @text.json --tasks @text-a.jsonl ${line} -o @text`);
  const kept = rowsIn("text-buffer.jsonl");
  const known = rows(0).map((row) => JSON.stringify(row));
  expect(kept).toHaveLength(5);
  for (const { task, seen, ...row } of kept) {
    expect([task, seen]).toEqual(["text-a", 8]);
    expect(known).toContain(JSON.stringify(row));
  }
  const { json } = await lab.run(`@text --tasks @text-b.jsonl ${line} --buffer-from @text-buffer.jsonl -o @text-later`);
  expect(json.buffer).toBe(5);
});

test("what does not fit is refused", async () => {
  const run = (options: string) => lab.run(`@first --tasks @c.jsonl --method er --steps 1 ${options}`);
  const from = "--buffer-from @first-buffer.jsonl";
  await expect(run(`--buffer 9 ${from} -o @x`)).rejects.toThrow("has 10 rows, and --buffer keeps 9");
  await expect(run("--buffer-from @c.jsonl -o @x")).rejects.toThrow("does not name its task");
  await expect(run("--buffer-from @nowhere.jsonl -o @x")).rejects.toThrow("cannot be read");
  lab.write("wide.jsonl", [{ ...pairRows(0, 1)[0], label: 2, task: "a", seen: 1 }]);
  await expect(run("--buffer-from @wide.jsonl -o @x")).rejects.toThrow("label 2, but the model has 2 classes");
  lab.write("taken-buffer.jsonl", []);
  await expect(run("-o @taken")).rejects.toThrow("is there already");
  const cut = `@first --tasks @c.jsonl --method er ${from} --steps 6 --save-every 1 -o @changed --resume`;
  lab.write("other.jsonl", rowsIn("first-buffer.jsonl").slice(1));
  await lab.run(cut, { task: "c", step: 2 });
  const first = lab.bytes("first-buffer.jsonl").toString();
  lab.write("first-buffer.jsonl", rowsIn("other.jsonl"));
  await expect(lab.run(cut)).rejects.toThrow("was saved with other rows of the task");
  lab.write(
    "first-buffer.jsonl",
    first
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  );
});
