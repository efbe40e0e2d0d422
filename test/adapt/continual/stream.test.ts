/** Streams of tasks: what the frame promises whatever the method is. */
import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync } from "node:fs";
import { continualMetrics } from "../../../src/run/continual/matrix.ts";
import { dataOf } from "../../support/checkpoint-values.ts";
import { runScript, runShell } from "../../support/command.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, 20));
  lab.write(`${name}-held.jsonl`, pairRows(task, 10, { first: 20 }));
}
lab.json("net.json", NET);

const TASKS = "--tasks @a.jsonl,@b.jsonl,@c.jsonl";
const HELD = "--eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl";
await runScript(
  "train",
  "--init net.json --data a.jsonl --steps 2 --save-every 0 -q -o net-base".split(" "),
  lab.folder,
);
const SHORT = "--epochs 2 --lr 0.02 --save-every 0";

test("tasks in sequence are trainings one after the other", async () => {
  await lab.run(`--init @net.json ${TASKS} ${SHORT} -o @seq`);
  let model = "--init net.json";
  for (const name of NAMES) {
    const argv = `${model} --data ${name}.jsonl ${SHORT} -q -o trained-${name}`.split(" ");
    expect((await runScript("train", argv, lab.folder)).err).toBe("");
    model = `trained-${name}`;
  }
  const tensors = (bytes: Buffer) => bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
  expect(tensors(lab.bytes("seq/model.safetensors"))).toEqual(tensors(lab.bytes("trained-c/model.safetensors")));
}, 120_000);

test("without tasks an adapter is trained, as train does", async () => {
  await lab.run(`@net-base --data @a.jsonl --steps 3 --seed 2 --lora-rank 2 --lora -o @lora-named`);
  await lab.run(`@net-base --data @a.jsonl --steps 3 --seed 2 -o @lora`);
  const argv = "net-base --data a.jsonl --steps 3 --seed 2 --lora -q -o trained-lora".split(" ");
  expect((await runScript("train", argv, lab.folder)).err).toBe("");
  const weights = (name: string) => {
    const bytes = lab.bytes(`${name}/adapter_model.safetensors`);
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
  };
  expect(weights("lora")).toEqual(weights("trained-lora"));
  expect(weights("lora-named").length).toBeLessThan(weights("lora").length);
}, 120_000);

test("every adapter goes through a stream: the base stays, and the adapter is the result", async () => {
  const line = `@net-base ${TASKS} ${SHORT} --method er --buffer 10`;
  await lab.run(`${line} --lora --lora-rank 2 -o @stream-lora`);
  expect(existsSync(lab.at("stream-lora/adapter_model.safetensors"))).toBe(true);
}, 120_000);

test("a head grows by the classes that tasks bring, and the rows that were there begin as they were", async () => {
  for (const [task, name] of NAMES.entries()) lab.write(`more-${name}.jsonl`, pairRows(task, 12, { label: 2 * task }));
  const MORE = "--tasks @more-a.jsonl,@more-b.jsonl,@more-c.jsonl --scenario class --method er --buffer 12";
  const { json } = await lab.run(`@net-base ${MORE} --epochs 12 --lr 0.02 --batch-size 6 --replay-ratio 0.5 -o @grown`);
  const config = JSON.parse(lab.bytes("grown/config.json").toString());
  expect(config.num_labels).toBe(6);
  expect(json.tasks.map(({ classes }: { classes: number[] }) => classes)).toEqual([
    [0, 1],
    [2, 3],
    [4, 5],
  ]);
  expect(json.after.accuracy[2][2]).toBeGreaterThan(0.9);
  // Before the first task its two classes are those of the model as it was.
  const plain = await lab.run(`@net-base --tasks @more-a.jsonl --steps 1 -o @not-grown`);
  expect(json.before.loss[0][0]).toBeCloseTo(plain.json.before.loss[0][0], 6);
  const line = `@net-base ${MORE} --steps 3 --save-every 2`;
  const whole = await lab.run(`${line} -o @grown-whole`);
  await lab.run(`${line} -o @grown-cut --resume`, { task: "more-b", step: 2 });
  expect((await lab.run(`${line} -o @grown-cut --resume`)).json).toEqual(whole.json);
  expect(bytesOf("grown-cut")).toEqual(bytesOf("grown-whole"));
}, 120_000);

test("a model whose head grows may come through a pipe, and is read once", async () => {
  for (const task of [0, 1]) lab.write(`wider-${task}.jsonl`, pairRows(task, 8, { label: 2 * task }));
  const line = "--tasks wider-0.jsonl,wider-1.jsonl --scenario class --steps 2 --save-every 0 -q";
  const named = await runScript("adapt", ["net-base", ...line.split(" "), "-o", "wider-named"], lab.folder);
  expect(named.err).toBe("");
  const piped = await runShell(`$MERGE net-base --method linear -q -o - | $ADAPT - ${line} -o wider-piped`, lab.folder);
  expect(piped.err).toBe("");
  expect(dataOf(lab.bytes("wider-piped/model.safetensors"))).toEqual(
    dataOf(lab.bytes("wider-named/model.safetensors")),
  );
}, 60_000);

test("remarks on a model whose head grows are told once", async () => {
  for (const task of [0, 1]) lab.write(`told-${task}.jsonl`, pairRows(task, 8, { label: 2 * task }));
  cpSync(lab.at("net-base"), lab.at("net-dropout"), { recursive: true });
  const config = JSON.parse(lab.bytes("net-base/config.json").toString());
  lab.json("net-dropout/config.json", { ...config, attention_dropout: 0.1 });
  const { events } = await lab.run(
    "@net-dropout --tasks @told-0.jsonl,@told-1.jsonl --scenario class --steps 2 --save-every 0 -o @told",
  );
  const warnings = events.filter(({ event }) => event === "warning").map(({ text }) => text);
  expect(warnings.filter((text) => `${text}`.includes("dropout"))).toHaveLength(1);
}, 60_000);

test("a task's file may have a comma in its name, and what to do next names it whole", async () => {
  lab.write("a,a.jsonl", pairRows(0, 8));
  const { outcome } = await lab.run("@net-base --tasks one=@a,a.jsonl --steps 1 --save-every 0 -o @comma");
  expect(outcome!.next).toEndWith(`--data ${lab.at("a,a.jsonl")}`);
}, 60_000);

test("a stream resumes on no other rows, of a task that is over or of those that are scored", async () => {
  for (const name of ["first", "second", "first-held", "second-held"]) lab.write(`${name}.jsonl`, pairRows(0, 8));
  const held = "--eval-tasks first=@first-held.jsonl,second=@second-held.jsonl";
  const line = `@net-base --tasks @first.jsonl,@second.jsonl ${held} --steps 3 --save-every 1 -o @other-rows`;
  await lab.run(`${line} --resume`, { task: "second", step: 2 });
  for (const name of ["first", "first-held"]) {
    lab.write(`${name}.jsonl`, pairRows(1, 8));
    await expect(lab.run(`${line} --resume`)).rejects.toThrow("was saved with other rows of the task first");
    lab.write(`${name}.jsonl`, pairRows(0, 8));
  }
  expect((await lab.run(`${line} --resume`)).json.steps).toBe(6);
}, 60_000);

test("every task is scored after every task, and metrics follow from the scores", async () => {
  const { json, events } = await lab.run(
    `--init @net.json ${TASKS} ${HELD} --eval-data general=@a-held.jsonl ${SHORT} -o @scored`,
  );
  expect(json.after.accuracy.map((row: number[]) => row.length)).toEqual([3, 3, 3]);
  const matrix = { after: json.after.accuracy, before: json.before.accuracy[0], better: "higher" } as const;
  expect(json.metrics.accuracy).toEqual(continualMetrics(matrix));
  const lost = json.general.at(-1)[0].loss - json.general[0][0].loss;
  expect(json.metrics.loss.vertical_forgetting).toBeCloseTo(lost, 12);
  expect(json.metrics.loss.general_retention).toBeCloseTo(json.general[0][0].loss / json.general.at(-1)[0].loss, 12);
  // The general rows are those of task a: both ways of measuring agree.
  for (const [i, row] of json.after.loss.entries()) expect(json.general[i + 1][0].loss).toBeCloseTo(row[0], 6);
  const scores = events.filter(({ event, task }) => event === "score" && task === "b");
  expect(scores.map(({ after, loss }) => [after, loss])).toEqual([
    [null, json.before.loss[0][1]],
    ["a", json.after.loss[0][1]],
    ["b", json.after.loss[1][1]],
    ["c", json.after.loss[2][1]],
  ]);
}, 120_000);

test("intransigence is told beside the scores of joint training", async () => {
  const joint = await lab.run(`--init @net.json ${TASKS} ${HELD} --method joint ${SHORT} -o @joint`);
  lab.json("joint.json", joint.json);
  const { json } = await lab.run(`--init @net.json ${TASKS} ${HELD} --joint-scores @joint.json ${SHORT} -o @beside`);
  const gaps = [0, 1, 2].map((j) => joint.json.after.accuracy[0][j] - json.after.accuracy[j][j]);
  expect(json.metrics.accuracy.intransigence).toBeCloseTo(gaps.reduce((a, b) => a + b) / 3, 12);
  lab.json("seq.json", json);
  const wrong = lab.run(`--init @net.json ${TASKS} --joint-scores @seq.json ${SHORT} -o @wrong`);
  expect(await wrong.catch((error: Error) => error.message)).toContain("is not of joint training");
}, 120_000);

test("replay of nothing is sequential training bit for bit; so is an empty buffer", async () => {
  await lab.run(`--init @net.json ${TASKS} ${SHORT} -o @plain`);
  for (const [i, options] of ["--replay-ratio 0", "--buffer 0"].entries()) {
    await lab.run(`--init @net.json ${TASKS} --method er ${options} ${SHORT} -o @nothing-${i}`);
    expect(bytesOf(`nothing-${i}`)).toEqual(bytesOf("plain"));
  }
}, 120_000);

/** The weights of a result, without the header, which names the method. */
const bytesOf = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));

describe("a stream that is cut off goes on as if it had not been", () => {
  const RUNS: Record<string, string> = {
    seq: "--method seq",
    er: "--method er --buffer 15 --replay-ratio 0.4",
    joint: "--method joint",
  };
  test.each(Object.entries(RUNS))(
    "%s",
    async (name, method) => {
      const line = `--init @net.json ${TASKS} ${HELD} ${method} --epochs 2 --batch-size 7 --lr 0.02 --save-every 2`;
      const whole = await lab.run(`${line} -o @${name}-whole`);
      const steps = whole.events.filter(({ event }) => event === "step");
      const cuts = steps.filter((_, i) => i % 4 === 1);
      for (const { task, step } of cuts)
        await lab.run(`${line} -o @${name}-cut --resume`, { task: task as string, step: step as number });
      const end = await lab.run(`${line} -o @${name}-cut --resume`);
      expect(end.json).toEqual(whole.json);
      expect(bytesOf(`${name}-cut`)).toEqual(bytesOf(`${name}-whole`));
      expect(existsSync(lab.at(`${name}-cut-state`))).toBe(false);
    },
    60_000,
  );
});
