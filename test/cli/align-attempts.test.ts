/** `align filter`, `align best-of` and `align prepare-steps` from the shell: rows by what a model makes of them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-attempts-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const run = (argv: readonly string[]) => runScript("align", argv, folder);
const linesOf = (name: string) =>
  readFileSync(at(name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const ROWS = Array.from({ length: 10 }, (_, i) => ({ prompt: `${i}+1=`, completion: `${i + 1}`, note: [i] }));

/** Rewards answers that have an even byte first, and writes down what it was asked. */
const JUDGE = `
const { appendFileSync, readFileSync } = require("node:fs");
for (const line of readFileSync(0, "utf8").trimEnd().split("\\n")) {
  const { place, answer } = JSON.parse(line);
  const reward = answer.charCodeAt(0) % 16 === 0 ? 1 : 0;
  appendFileSync("judged.jsonl", JSON.stringify({ place, answer, reward }) + "\\n");
  console.log(reward);
}`;

beforeAll(async () => {
  writeFileSync(at("tiny.json"), JSON.stringify({ ...TINY_TEXT.llama!, vocab_size: 264, num_hidden_layers: 1 }));
  writeFileSync(at("judge.js"), JUDGE);
  write("rows.jsonl", ROWS);
  const init = "--init tiny.json --tokenizer byte --data rows.jsonl --steps 1 --save-every 0 -o base/";
  const made = await runScript("train", init.split(" "), folder);
  expect([made.err, made.code]).toEqual([expect.anything(), 0]);
});

test("filter keeps, as they stand, the rows with a right answer among K, and without those that always are", async () => {
  const asked = ["filter", "base/", "--data", "rows.jsonl", "--max-new-tokens", "3", "--attempts", "6"];
  const kept = async (keep: string, ...rest: string[]) => {
    writeFileSync(at("judged.jsonl"), "");
    const done = await run([...asked, "--verify", "bun judge.js", "--keep", keep, ...rest, "-o", `${keep}.jsonl`]);
    expect([done.code, done.err]).toEqual([0, expect.anything()]);
    const judged = Map.groupBy(linesOf("judged.jsonl"), ({ place }) => place);
    const shares = ROWS.map((_, i) => {
      const own = judged.get(`rows.jsonl:${i + 1}`)!;
      expect(own).toHaveLength(6);
      return own.filter(({ reward }) => reward === 1).length / 6;
    });
    return { shares, rows: linesOf(`${keep}.jsonl`) };
  };
  const { shares, rows } = await kept("solvable");
  expect([shares.some((share) => share === 0), rows.length > 0]).toEqual([true, true]);
  expect(rows).toEqual(ROWS.filter((_, i) => shares[i]! > 0));
  // Where every answer is right, nothing is left to learn.
  const always = await run([...asked, "--reward", "regex:.*", "--keep", "learnable"]);
  expect([always.code, always.err]).toEqual([2, expect.stringContaining("no row of 10 is learnable in 6 attempts")]);
});

test("the same rows are kept again, however many are answered at once", async () => {
  const asked = "filter base/ --data rows.jsonl --max-new-tokens 3 --attempts 4 --reward regex:[a-z]".split(" ");
  const whole = await run([...asked, "--json", "-o", "one.jsonl"]);
  await run([...asked, "--rows-at-once", "8", "-o", "two.jsonl"]);
  expect(readFileSync(at("two.jsonl"), "utf8")).toBe(readFileSync(at("one.jsonl"), "utf8"));
  const told = JSON.parse(whole.text);
  expect(told).toMatchObject({ rows: 10, kept: linesOf("one.jsonl").length, file: "one.jsonl" });
  expect(told.kept + told.unsolved).toBe(10);
});

test("best-of writes the answers that are worth most, of equals the first, and tells how far it goes", async () => {
  const asked = "best-of base/ --data rows.jsonl --max-new-tokens 3 --answers 4 --reward regex:^[a-zA-Z]".split(" ");
  const { text, code } = await run([...asked, "--top", "4", "--json", "-o", "all.jsonl"]);
  expect(code).toBe(0);
  await run([...asked, "--rows-at-once", "4", "-o", "best.jsonl"]);
  const all = linesOf("all.jsonl");
  expect(all).toHaveLength(4 * ROWS.length);
  const groups = ROWS.map(({ prompt }) => all.filter((row) => row.prompt === prompt));
  expect(linesOf("best.jsonl")).toEqual(groups.map(([first]) => first));
  for (const own of groups) {
    const rewards = own.map(({ reward }) => reward);
    expect(rewards).toEqual(rewards.toSorted((a, b) => b - a));
    for (const row of own) {
      expect(row.reward).toBe(/^[a-zA-Z]/.test(row.completion) ? 1 : 0);
      expect(row.mean_reward).toBeCloseTo(rewards.reduce((a, b) => a + b) / 4, 12);
    }
  }
  const told = JSON.parse(text);
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;
  expect(told.kl).toBeCloseTo(Math.log(4) - 3 / 4, 12);
  expect(told.best_of.map(({ n }: { n: number }) => n)).toEqual([1, 2, 4]);
  expect(told.best_of[0].reward).toBeCloseTo(mean(all.map(({ reward }) => reward)), 12);
  expect(told.best_of[2].reward).toBeCloseTo(mean(linesOf("best.jsonl").map(({ reward }) => reward)), 12);
  const learnt = "base/ --data best.jsonl --steps 1 --batch-size 2 --save-every 0 -o raft/".split(" ");
  expect((await runScript("train", learnt, folder)).code).toBe(0);
});

test("prepare-steps writes pairs that dpo reads, right ways on against wrong ones", async () => {
  const asked =
    "prepare-steps base/ --data rows.jsonl --max-new-tokens 3 --temperature 1 --solutions 6 --reward regex:^[a-zA-Z]";
  const done = await run([...asked.split(" "), "-o", "steps.jsonl"]);
  expect([done.code, done.err]).toEqual([0, expect.stringContaining("pairs")]);
  const isRight = (answer: string) => /^[a-zA-Z]/.test(answer);
  for (const { prompt, chosen, rejected } of linesOf("steps.jsonl")) {
    const row = ROWS.find((own) => prompt.startsWith(own.prompt))!;
    const before = prompt.slice(row.prompt.length);
    expect([isRight(before + chosen), isRight(before + rejected)]).toEqual([true, false]);
  }
  const trained = await run(
    "base/ --method dpo --data steps.jsonl --steps 1 --batch-size 2 --save-every 0 -o dpo/".split(" "),
  );
  expect([trained.code, trained.err]).toEqual([0, expect.anything()]);
});

test.each([
  ["best-of", "--max-new-tokens 3 --answers 2 --top 3", "--top 3 is more than --answers 2", "lower it"],
  ["filter", "--max-new-tokens 200", "rows.jsonl:1: a prompt of 4 tokens and 200 of an answer", "--max-new-tokens"],
  ["filter", "--max-new-tokens 3 --reward exact --success 2", "no row of 10 is solvable in 8 attempts", "--success"],
  ["prepare-steps", "--max-new-tokens 3 --reward exact --success 2", "no prompt of 10 has both", "--solutions"],
])("refuses %s %s", async (name, options, problem, hint) => {
  const reward = options.includes("--reward") ? "" : " --reward exact";
  const { code, err } = await run(`${name} base/ --data rows.jsonl ${options}${reward}`.split(" "));
  expect([code, err]).toEqual([2, expect.stringContaining(problem)]);
  expect(err).toContain(hint);
});
