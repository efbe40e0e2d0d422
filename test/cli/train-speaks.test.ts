/** What a training says, keeps and writes on its way, and where it ends before its last step. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { startScript } from "../support/command.ts";
import { lines, nextModel } from "./next-model.ts";

const { folder, at, run } = await nextModel("speaks");
const NEW = ["--init", "config.json", "--tokenizer", "byte"];
const DATA = ["--data", "next.jsonl", "--batch-size", "2", "--lr", "0.01"];
const HELD = ["--eval-data", "a=a.jsonl", "--eval-data", "b=b.jsonl"];
writeFileSync(at("a.jsonl"), lines([{ prompt: "3>", completion: "4" }]));
writeFileSync(at("b.jsonl"), lines([{ prompt: "7>", completion: "1" }, { text: "no" }]));

const weights = (folder: string): Buffer => readFileSync(at(`${folder}/model.safetensors`));
const events = (log: string, name: string): Record<string, unknown>[] =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === name);

test("the closing line has the loss, the held-out loss by group, and the best step", async () => {
  const line = [...NEW, ...DATA, ...HELD, "--steps", "4", "--eval-every", "2", "--json", "-o", "closed/"];
  const { code, err, text: json } = await run("train", [...line, "--log", "closed.log"]);
  expect(code).toBe(0);
  const result = JSON.parse(json);
  const evals = events("closed.log", "eval").filter(({ group }) => group === undefined);
  expect(evals.map(({ step }) => step)).toEqual([2, 4]);
  expect(result.held_out_loss).toBe(evals[1]!.value);
  expect(result.best_loss).toBe(Math.min(...evals.map(({ value }) => Number(value))));
  const closing = err.split("\n").find((text) => text.startsWith("train: step 4, loss "))!;
  expect(closing).toContain(`loss ${result.loss.toFixed(4)}, held-out loss ${result.held_out_loss.toFixed(4)} (a `);
  expect(closing).toContain(`b ${result["held_out_loss.b"].toFixed(4)})`);
  expect(closing).toMatch(new RegExp(`, best (\\d\\.\\d+ )?at step ${result.best_step}$`));
}, 120_000);

test("--patience ends a run whose held-out loss does not fall, at the step that a shorter run has", async () => {
  // A rate that spoils the model at once, so the first evaluation stays the best.
  const spoilt = [...NEW, "--data", "next.jsonl", "--batch-size", "2", "--lr", "3", ...HELD];
  const constant = [...spoilt, "--schedule", "constant", "--eval-every", "1"];
  const early = await run("train", [...constant, "--steps", "9", "--patience", "2", "-o", "early/", "--log", "e.log"]);
  expect(early.code).toBe(0);
  const losses = events("e.log", "eval").filter(({ group }) => group === undefined);
  const best = losses.reduce((a, b) => (Number(b.value) < Number(a.value) ? b : a));
  const end = Number(best.step) + 2;
  expect(losses.length).toBe(end);
  expect(end).toBeLessThan(9);
  expect(early.err).toContain(`stopped after step ${end} of 9: no lower held-out loss in 2 evaluations`);
  const short = await run("train", [...constant, "--steps", String(end), "-q", "-o", "short/"]);
  expect(short.err).toBe("");
  expect(Buffer.compare(tensors("early"), tensors("short"))).toBe(0);
  const again = await run("inspect", ["early", "--command"]);
  expect(again.text).toMatch(/--patience 2/);
  expect(again.text).toMatch(/--eval-every 1/);
}, 120_000);

/** The values of a file without its header, which has the lineage. */
function tensors(folder: string): Buffer {
  const bytes = weights(folder);
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
}

test("--keep leaves the last models and the best one, and they are what a run to that step gives", async () => {
  const line = [...NEW, ...DATA, ...HELD, "--schedule", "constant", "--steps", "9", "--save-every", "2"];
  const kept = await run("train", [...line, "--eval-every", "2", "--keep", "2", "-o", "kept/", "--json"]);
  expect(kept.code).toBe(0);
  const { best_step } = JSON.parse(kept.text);
  const names = readdirSync(at("."))
    .filter((name) => name.includes("kept"))
    .sort();
  const wanted = new Set([6, 8, ...(best_step < 9 ? [best_step] : [])]);
  expect(names).toEqual(["kept", ...[...wanted].sort().map((step) => `kept.step-${step}`)]);
  const six = await run("train", [...NEW, ...DATA, "--schedule", "constant", "--steps", "6", "-q", "-o", "six/"]);
  expect(six.err).toBe("");
  expect(Buffer.compare(tensors("kept.step-6"), tensors("six"))).toBe(0);
  const again = await run("train", [...line, "--keep", "2", "-o", "kept/"]);
  expect(again.code).toBe(2);
}, 120_000);

test("--sample-every shows what the model writes, and the result keeps its bytes", async () => {
  const line = [...NEW, ...DATA, "--steps", "4"];
  const plain = await run("train", [...line, "-q", "-o", "mute/"]);
  expect(plain.err).toBe("");
  const spoken = await run("train", [
    ...[...line, "--sample-every", "2", "--sample-prompts", "the", "--sample-prompts", "a"],
    ...["-o", "spoken/", "--log", "spoken.log"],
  ]);
  expect(spoken.code).toBe(0);
  expect(weights("spoken")).toEqual(weights("mute"));
  const shown = events("spoken.log", "sample");
  expect(shown.map(({ step, prompt }) => [step, prompt])).toEqual([
    [2, "the"],
    [2, "a"],
    [4, "the"],
    [4, "a"],
  ]);
  expect(spoken.err).toContain(`train: step 2: "the" -> ${JSON.stringify(shown[0]!.text)}`);
  const asked = await run("sample", ["spoken", "the", "--max-tokens", "64", "--json"]);
  expect(JSON.parse(asked.text).text).toBe(String(shown[2]!.text));
}, 120_000);

test.each([
  [["--patience", "2"], "--patience"],
  [["--patience", "2", ...HELD], "give --eval-every N"],
  [["--keep", "2", "--save-every", "0"], "give --save-every N"],
  [["--sample-every", "2"], "--sample-prompts"],
  [["--sample-prompts", "none.jsonl"], "there is no such file"],
])("refuses %p", async (options, told) => {
  const { code, err } = await run("train", [...NEW, ...DATA, "--steps", "4", ...options, "-o", "refused/"]);
  expect(code).toBe(2);
  expect(err).toContain(told);
  expect(existsSync(at("refused"))).toBe(false);
});

test("a run that was killed ends at the same step with the same bytes, checkpoints and best", async () => {
  const line = [...NEW, "--data", "next.jsonl", "--batch-size", "2", "--lr", "0.02", "--schedule", "constant", ...HELD];
  const watched = ["--eval-every", "2", "--patience", "3", "--save-every", "2", "--keep", "1", "--steps", "60"];
  const spoken = ["--sample-every", "2", "--sample-prompts", "3>", "-q"];
  const whole = await run("train", [...line, ...watched, ...spoken, "-o", "whole/"]);
  expect(whole.err).toBe("");
  const reached = (log: string, step: number) =>
    existsSync(at(log)) && readFileSync(at(log), "utf8").includes(`"step","step":${step},`);
  for (const goal of [3, 6, 1000]) {
    const argv = [...line, ...watched, ...spoken, "--resume", "--log", `cut-${goal}.log`, "-o", "cut/"];
    const child = startScript("train", argv, folder);
    while (child.exitCode === null && !reached(`cut-${goal}.log`, goal)) await Bun.sleep(5);
    if (child.exitCode === null) child.kill(9);
    await child.exited;
  }
  expect(weights("cut")).toEqual(weights("whole"));
  const checkpoints = (of: string) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(`${of}.step-`))
      .sort();
  expect(checkpoints("cut").length).toBeGreaterThan(0);
  expect(checkpoints("cut").map((name) => name.slice(3))).toEqual(checkpoints("whole").map((name) => name.slice(5)));
  for (const name of checkpoints("cut")) expect(weights(name)).toEqual(weights(name.replace("cut", "whole")));
}, 120_000);
