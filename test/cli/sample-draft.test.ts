/** A draft model at the command line: `sample --draft`, and `evaluate --metric acceptance`. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { lines, nextModel } from "./next-model.ts";

const { at, run } = await nextModel("sample-draft");

test("answers are the model's own, and what was kept of the draft is told", async () => {
  writeFileSync(at("rows.jsonl"), lines(Array.from({ length: 4 }, () => ({ text: "1234567890" }))));
  const usual = ["--init", "config.json", "--tokenizer", "byte", "--data", "rows.jsonl", "--lr", "0.01", "-q"];
  expect((await run("train", [...usual, "--steps", "20", "-o", "draft"])).code).toBe(0);
  const sample = async (...more: string[]) => run("sample", ["next", "-p", "3>", "-p", "12", "-m", "7", ...more]);
  const alone = (await sample("--json", "-q")).text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const written = await sample("--draft", "draft", "--draft-tokens", "3", "--json", "--log", at("log.jsonl"));
  const answers = written.text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(answers.map(({ ids }) => ids)).toEqual(alone.map(({ ids }) => ids));
  for (const { drafted, accepted, passes, tokens } of answers) {
    expect(accepted).toBeLessThanOrEqual(drafted);
    expect(accepted + passes + 1).toBeGreaterThanOrEqual(tokens);
  }
  expect(written.err).toMatch(/the target kept \d+ of \d+ drafted tokens/);
  expect(readFileSync(at("log.jsonl"), "utf8")).toContain('"accepted":');

  const measure = async (draft: string) => {
    const argv = ["next", "--draft", draft, "--data", "rows.jsonl", "--metric", "acceptance", "--json", "-q"];
    const { code, text, err } = await run("evaluate", argv);
    expect([code, err]).toEqual([0, ""]);
    const { acceptance, rows } = JSON.parse(text);
    return { acceptance, greedy: rows.find((row: { metric: string }) => row.metric === "acceptance greedy").value };
  };
  const itself = await measure("next");
  expect(itself.acceptance).toBeCloseTo(1, 5);
  expect(itself.greedy).toBe(1);
  const other = await measure("draft");
  expect(other.acceptance).toBeGreaterThan(0);
  expect(other.acceptance).toBeLessThan(0.95);
});

test("is refused beside other writers, for another vocabulary, and where there is none", async () => {
  for (const [script, argv, message] of [
    [
      "sample",
      ["next", "3>", "--draft", "next", "--with", "next"],
      "--draft writes ahead of one model, not with --with",
    ],
    ["sample", ["next", "3>", "--draft-tokens", "2"], "--draft"],
    ["sample", ["next", "3>", "--draft", "nowhere"], "nowhere"],
    ["sample", ["next", "3>", "--draft", "golden"], "and one of them has no tokenizer to compare"],
    ["evaluate", ["next", "--data", "rows.jsonl", "--metric", "acceptance"], "there is none"],
    [
      "evaluate",
      ["next", "--data", "rows.jsonl", "--metric", "acceptance", "--draft", "golden"],
      "no tokenizer to compare",
    ],
  ] as const) {
    const found = await run(script, [...argv, "-q"]);
    expect([argv, found.code, found.err.includes(message), found.err]).toEqual([argv, 2, true, found.err]);
  }
  const plan = await run("evaluate", [
    "next",
    "--draft",
    "draft",
    "--data",
    "rows.jsonl",
    "--metric",
    "acceptance",
    "-n",
  ]);
  expect(plan.text).toMatch(/draft +draft, /);
});
