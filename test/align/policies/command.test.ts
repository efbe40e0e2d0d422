/** `align` with a policy from the shell: what it writes and tells, its memory, and a run that is killed. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf } from "../../support/checkpoint-values.ts";
import { runAlone, runScript, startScript } from "../../support/command.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-policies-"));
const at = (name: string) => join(folder, name);
const run = (argv: string) => runScript("align", argv.split(" "), folder);
afterAll(() => rmSync(folder, { recursive: true }));

const linesOf = (name: string) =>
  readFileSync(at(name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const weightsOf = (name: string) => dataOf(readFileSync(at(join(name, "model.safetensors"))));

/** Two updates of a rollout of four prompts. */
const ASKED =
  "base/ --method grpo --data rows.jsonl --group 4 --prompts-per-step 4 --batch-size 4 --accumulate 2 --max-new-tokens 4";
const RUN = `${ASKED} --reward regex:[a-z] --steps 4 --lr 1e-3`;

beforeAll(async () => {
  const tiny = { ...TINY_TEXT.llama!, vocab_size: 264, num_hidden_layers: 1 };
  writeFileSync(at("tiny.json"), JSON.stringify(tiny));
  const rows = Array.from({ length: 10 }, (_, i) => ({ prompt: `${i}+1=`, completion: `${i + 1}` }));
  writeFileSync(at("rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const made = await runScript(
    "train",
    "--init tiny.json --tokenizer byte --data rows.jsonl --steps 1 --save-every 0 -o base/".split(" "),
    folder,
  );
  expect([made.err, made.code]).toEqual([expect.anything(), 0]);
});

/** Rewards answers for their letters; kills the run that starts it more than `most` times. */
const judge = (most: number) => `
const { appendFileSync, readFileSync } = require("node:fs");
appendFileSync("started", "x");
if (readFileSync("started").length > ${most}) process.kill(process.ppid, "SIGKILL");
for (const line of require("node:fs").readFileSync(0, "utf8").trimEnd().split("\\n"))
  console.log(JSON.stringify({ reward: JSON.parse(line).answer.length % 3 }));
`;

test("answers are told and written with their rewards, and memory is what was planned", async () => {
  const asked = `${ASKED} --verify=bun\u00a0judge.js --kl 0.1 --steps 4 --lr 1e-3 --rollouts answers.jsonl --log run.log`;
  writeFileSync(at("judge.js"), judge(99));
  const argv = [...asked.split(" ").map((word) => word.replace("\u00a0", " ")), "--save-every", "0"];
  const planned = await runScript(
    "align",
    [...argv.filter((word) => !/answers|--rollouts/.test(word)), "-n", "--json"],
    folder,
  );
  const done = await runScript("align", [...argv, "-o", "told/"], folder);
  expect([done.code, done.err]).toEqual([0, expect.stringContaining("rollouts")]);
  const answers = linesOf("answers.jsonl");
  expect(answers).toHaveLength(2 * 16);
  expect(new Set(answers.map(({ rollout }) => rollout))).toEqual(new Set([1, 2]));
  for (let from = 0; from < 32; from += 4) {
    const group = answers.slice(from, from + 4);
    expect(new Set(group.map(({ place }) => place)).size).toBe(1);
    expect(group.reduce((sum, { advantage }) => sum + advantage, 0)).toBeCloseTo(0, 9);
    for (const { answer, reward } of group) expect(reward).toBe(answer.length % 3);
  }
  const log = linesOf("run.log");
  const steps = log.filter(({ event }) => event === "step");
  const rollouts = log.filter(({ event }) => event === "rollout");
  expect([steps.length, rollouts.length]).toEqual([4, 2]);
  const means = [0, 16].map((from) => answers.slice(from, from + 16).reduce((sum, { reward }) => sum + reward, 0) / 16);
  expect(steps.map(({ reward }) => reward)).toEqual([means[0], means[0], means[1], means[1]]);
  for (const name of ["kl", "entropy", "clip_low", "clip_high", "length", "truncated", "advantage", "differing_groups"])
    expect([name, steps.every((step) => Number.isFinite(step[name]))]).toEqual([name, true]);
  expect(rollouts[0].rollout_tokens).toBe(answers.slice(0, 16).reduce((sum, { tokens }) => sum + tokens, 0));
  const { memory } = log.find((line) => line.memory);
  expect(memory.rollouts).toBeGreaterThan(0);
  expect(memory.original).toBeGreaterThan(0);
  expect(JSON.parse(planned.text).memory).toEqual(memory);
  const taken = Math.max(...steps.map(({ gpu_bytes }) => gpu_bytes));
  expect([taken <= 1.01 * memory.total, taken >= memory.total]).toEqual([true, true]);
});

test("a run that is killed while its second rollout is judged ends in the same bytes", async () => {
  const asked = [...ASKED.split(" "), "--verify", "bun judge.js", "--steps", "5", "--lr", "1e-3", "--save-every", "1"];
  const file = ["--rollouts", "kept.jsonl"];
  writeFileSync(at("judge.js"), judge(99));
  const whole = await runAlone("align", [...asked, "--rollouts", "whole.jsonl", "-o", "whole/"], folder);
  expect([whole.code, whole.err]).toEqual([0, expect.anything()]);
  writeFileSync(at("judge.js"), judge(1));
  writeFileSync(at("started"), "");
  const killed = await runAlone("align", [...asked, ...file, "-o", "killed/"], folder);
  expect(killed.code).not.toBe(0);
  writeFileSync(at("judge.js"), judge(99));
  const resumed = await runAlone("align", [...asked, ...file, "-o", "killed/", "--resume"], folder);
  expect([resumed.code, resumed.err]).toEqual([0, expect.stringContaining("continuing after step 2 of 5")]);
  expect(weightsOf("killed").equals(weightsOf("whole"))).toBe(true);
  expect(readFileSync(at("kept.jsonl"), "utf8")).toBe(readFileSync(at("whole.jsonl"), "utf8"));
});

test("a run that is killed between the updates of a rollout ends in the same bytes", async () => {
  const asked = `${ASKED} --reward regex:[a-z] --lr 1e-3 --updates 2 --steps 12 --save-every 1`;
  const words = `${asked} --log cut.log -o cut/ --resume`.split(" ");
  const child = startScript("align", words, folder);
  // A rollout has four steps: after six the second one is half used.
  const steps = () => (existsSync(at("cut.log")) ? readFileSync(at("cut.log"), "utf8").split('"event":"step"') : []);
  while (child.exitCode === null && steps().length < 7) await Bun.sleep(2);
  expect([child.exitCode, child.exitCode === null ? "" : await new Response(child.stderr).text()]).toEqual([null, ""]);
  child.kill(9);
  await child.exited;
  const resumed = await runScript("align", words, folder);
  expect([resumed.code, resumed.err]).toEqual([0, expect.stringContaining("continuing after step")]);
  const whole = await run(`${asked} -o uncut/`);
  expect([whole.code, whole.err]).toEqual([0, expect.anything()]);
  expect(weightsOf("cut").equals(weightsOf("uncut"))).toBe(true);
});

test("a new adapter's base is the reference: no second model is held", async () => {
  const done = await run(`${RUN} --lora --kl 0.1 --log lora.log --save-every 0 -o adapter/`);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  const log = linesOf("lora.log");
  expect(log.find((line) => line.memory).memory.original).toBeUndefined();
  expect(log.filter(({ event }) => event === "step").map(({ kl }) => kl > 0)).toEqual([false, true, true, true]);
});

test.each([
  ["--group 3", "12 answers of a rollout", "multiple of --group"],
  ["--group 1", "grpo compares answers to one prompt", "--group 2 or more"],
  ["--overlong 9", "--overlong 9 is more than --max-new-tokens 4", "lower it"],
  ["--overlong 2 --combine normalized", "--combine normalized takes verifiers apart", "verifier overlong"],
  ["--max-length 6", "rows.jsonl:1: a prompt of 4 tokens and 4 of an answer are more than 6", "--max-new-tokens"],
  ["--stop=", "--stop is empty", "unset"],
  ["--prompts-per-step 3", "12 answers of a rollout", "multiple of --group"],
])("refuses %s", async (options, problem, hint) => {
  const given = options.split(" ");
  const asked = RUN.split(/ (?=--)/).filter((option) => !given.includes(option.split(" ")[0]!));
  const { code, err } = await run([...asked, options, "-o no/"].join(" "));
  expect([code, err]).toEqual([2, expect.stringContaining(problem)]);
  expect(err).toContain(hint);
});
