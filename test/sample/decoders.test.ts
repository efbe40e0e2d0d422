/** `sample --method`: what it refuses, and what it says with several models. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const SIZES = {
  ...{ model_type: "llama", hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ vocab_size: 264, max_position_embeddings: 32 },
};
let folder: string;
const run = (script: string, ...argv: string[]) => runScript(script, argv, folder);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-decoders-"));
  const rows = ["12+30=42", "7+8=15"].map((text) => JSON.stringify({ text }));
  writeFileSync(join(folder, "rows.jsonl"), `${rows.join("\n")}\n`);
  const pairs = ["12+30=", "7+8="].map((prompt, i) => JSON.stringify({ prompt, completion: ["42", "15"][i] }));
  writeFileSync(join(folder, "pairs.jsonl"), `${pairs.join("\n")}\n`);
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(SIZES));
  const make = (seed: string, out: string) =>
    run(
      "train",
      ...["--init", "tiny.json", "--tokenizer", "byte", "--data", "rows.jsonl", "--steps", "1"],
      ...["--batch-size", "2", "--seed", seed, "-o", out, "-q"],
    );
  for (const [seed, out] of [
    ["0", "a/"],
    ["1", "b/"],
  ] as const)
    expect((await make(seed, out)).err).toBe("");
  cpSync(join(folder, "b"), join(folder, "other"), { recursive: true });
  const file = join(folder, "other", "tokenizer.json");
  const tokens = JSON.parse(readFileSync(file, "utf8"));
  const [one, two] = Object.keys(tokens.model.vocab);
  const { [one!]: first, [two!]: second } = tokens.model.vocab;
  Object.assign(tokens.model.vocab, { [one!]: second, [two!]: first });
  writeFileSync(file, JSON.stringify(tokens));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("two models answer by a rule, and the plan holds the caches of both", async () => {
  const argv = ["a/", "12+30=", "--method", "contrastive", "--with", "b/", "-m", "3"];
  const found = JSON.parse((await run("sample", ...argv, "--json", "-q")).text);
  expect(found.ids.length).toBeGreaterThan(0);
  const plan = JSON.parse((await run("sample", ...argv, "--json", "-n")).text);
  const alone = JSON.parse((await run("sample", "a/", "12+30=", "-m", "3", "--json", "-n")).text);
  expect(plan.cache).toBe(2 * alone.cache);
});

const EFT = ["--method", "eft", "--with", "b/", "--with", "a/"];
const lossOf = async (...argv: string[]): Promise<number> => {
  const { text, err } = await run("evaluate", ...argv, "--data", "rows.jsonl", "--metric", "loss", "--json", "-q");
  expect(err).toBe("");
  return JSON.parse(text).rows[0].value;
};

test("evaluate measures the rule: an emulated fine-tuning of its own reference is the fine-tuned model", async () => {
  expect(await lossOf("a/", ...EFT)).toBeCloseTo(await lossOf("b/"), 4);
  expect(await lossOf("a/", ...EFT, "--eft-scale", "0")).toBeCloseTo(await lossOf("a/"), 4);
  expect(await lossOf("a/", "--method", "cfg", "--cfg-scale", "1")).toBeCloseTo(await lossOf("a/"), 4);
});

test("evaluate draws its answers by the rule", async () => {
  const answer = (...argv: string[]) =>
    run("evaluate", ...argv, "--data", "pairs.jsonl", "--metric", "exact-match", "--max-tokens", "3", "--json", "-q");
  const [ours, theirs] = [await answer("a/", ...EFT), await answer("b/")];
  expect([ours.err, theirs.err]).toEqual(["", ""]);
  expect(JSON.parse(ours.text).rows[0].model).toBe("a/ by eft with b/, a/");
  expect(JSON.parse(ours.text).rows[0].value).toBe(JSON.parse(theirs.text).rows[0].value);
});

test("distill cache writes the rule's distributions, which a student learns", async () => {
  const cache = ["cache", "a/", ...EFT, "--data", "rows.jsonl", "--top", "8", "-q"];
  const plan = await run("distill", ...cache, "-n", "--json");
  expect(JSON.parse(plan.text).rows).toBe(2);
  expect((await run("distill", ...cache, "-o", "eft.safetensors")).err).toBe("");
  const learn = ["--cache", "eft.safetensors", "--student", "b/", "--data", "rows.jsonl", "--steps", "1"];
  const log = ["--batch-size", "2", "--label-weight", "0", "--log", "run.log", "-o", "s/", "-q"];
  expect((await run("distill", ...learn, ...log)).err).toBe("");
  const lines = readFileSync(join(folder, "run.log"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  // The emulated teacher is the student itself.
  expect(Math.abs(lines.find(({ event }) => event === "step").loss)).toBeLessThan(1e-4);
});

test("a draft writes ahead of a rule", async () => {
  const argv = ["a/", "12+30=", ...EFT, "--eft-scale", "0.5", "-m", "6", "--json", "-q"];
  const alone = JSON.parse((await run("sample", ...argv)).text);
  const drafted = JSON.parse((await run("sample", ...argv, "--draft", "b/", "--draft-tokens", "2")).text);
  expect(drafted.ids).toEqual(alone.ids);
  expect(drafted.passes).toBeGreaterThan(0);
});

test.each([
  ["evaluate", [...EFT, "--quantize", "8"], "--quantize cannot be combined with --method"],
  ["evaluate", ["--method", "eft", "--with", "b/"], "--method eft takes 3 models or more, and there are 2"],
  ["evaluate", ["--with", "b/", "--with", "a/"], "--with names 2 models, and one is mixed in"],
  [
    "evaluate",
    [...EFT, "--metric", "mia-gradnorm", "--data", "forget=pairs.jsonl", "--data", "holdout=rows.jsonl"],
    "the metrics need gradients, which --method eft does not give",
  ],
  ["evaluate", ["--method", "contrastive", "--with", "other/"], "need one vocabulary"],
  ["sample", ["12", "--method", "contrastive", "--with", "other/"], "need one vocabulary"],
  ["distill", ["--method", "eft", "--with", "b/"], "--method eft takes 3 models or more, and there are 2"],
  ["distill", ["--method", "contrastive", "--with", "other/"], "need one vocabulary"],
])("%s %p is refused", async (script, argv, message) => {
  const data = script === "sample" ? [] : ["--data", "rows.jsonl"];
  const words = script === "distill" ? ["cache", "a/", ...argv, "-o", "never.safetensors"] : ["a/", ...argv];
  const { code, err } = await run(script, ...words, ...data);
  expect(code).toBe(2);
  expect(err).toContain(message);
});

test.each([
  [["--method", "contrastive"], "--method contrastive takes 2 models, and there is 1"],
  [["--method", "contrastiv", "--with", "b/"], "unknown decoder contrastiv"],
  [["--method", "contrastive", "--with", "b/", "--ensemble", "equal"], "--ensemble equal both say how models write"],
  [["--method", "cfg", "--cfg-context-end", "?"], '--cfg-context-end "?" is not in the prompt "12+30="'],
  [
    ["--method", "cfg", "--cfg-negative-prompt", "A prompt of some twenty letters", "-m", "9"],
    "prompt 1: a/ reads 31 tokens in its place, and 9 more do not fit in 32 positions",
  ],
  [["--method", "contrastive", "--with", "b/", "--skip-layers", "0"], "--skip-layers both say how models write"],
])("%p is refused", async (argv, message) => {
  const { code, err } = await run("sample", "a/", "12+30=", ...argv);
  expect(code).toBe(2);
  expect(err).toContain(message);
});
