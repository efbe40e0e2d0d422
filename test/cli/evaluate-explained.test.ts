/** What help says of every metric: it fits, and its example runs as it is written. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadMethods } from "../../src/method/registry.ts";
import { runScript } from "../support/command.ts";
import { lines } from "./next-model.ts";

const metrics = await loadMethods("metric");
const folder = mkdtempSync(join(tmpdir(), "ingot-explained-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const run = (name: string, ...argv: string[]) => runScript(name, argv, folder);

beforeAll(async () => {
  const sizes = { hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 };
  const text = {
    model_type: "llama",
    ...sizes,
    vocab_size: 264,
    max_position_embeddings: 160,
    tie_word_embeddings: true,
  };
  writeFileSync(at("config.json"), JSON.stringify(text));
  writeFileSync(at("mlp.json"), JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 3 }));
  writeFileSync(at("classes.jsonl"), lines([0, 1, 2].map((label) => ({ x: [label, -label], label }))));
  writeFileSync(at("questions.jsonl"), lines([{ prompt: "3>", choices: ["4", "5"], answer: 0 }]));
  for (const part of ["forget", "holdout", "retain"]) {
    const made = await run(
      "data",
      "facts",
      "--people",
      "20",
      "--part",
      part,
      "--size",
      "4",
      "-o",
      `${part}.jsonl`,
      "-q",
    );
    expect(made.err).toBe("");
  }
  cpSync(at("retain.jsonl"), at("rows.jsonl"));
  const train = (...argv: string[]) => run("train", ...argv, "--steps", "2", "-q");
  const common = ["--init", "config.json", "--tokenizer", "byte", "--data"];
  expect((await train(...common, "forget.jsonl", "-o", "model/")).err).toBe("");
  expect((await train(...common, "retain.jsonl", "-o", "retrained/")).err).toBe("");
  writeFileSync(at("preferences.jsonl"), lines([{ prompt: "2+2=", chosen: "4", rejected: "5" }]));
  const judging = "model/ --method reward --data preferences.jsonl --steps 1 -q -o reward/";
  expect((await run("align", ...judging.split(" "))).err).toBe("");
  const bert = { ...sizes, model_type: "bert", vocab_size: 264, max_position_embeddings: 24, type_vocab_size: 1 };
  writeFileSync(at("bert.json"), JSON.stringify(bert));
  const words = ["cat", "dog", "sun"];
  writeFileSync(at("pairs.jsonl"), lines(words.map((word) => ({ query: `a ${word}`, positive: `one ${word}` }))));
  const scored = words.map((word, i) => ({ sentence1: `a ${word}`, sentence2: `one ${words[0]}`, score: -i }));
  writeFileSync(at("scored.jsonl"), lines(scored));
  const embedder = ["--init", "bert.json", "--tokenizer", "byte", "--loss", "infonce", "--data", "pairs.jsonl"];
  expect((await train(...embedder, "--batch-size", "3", "-o", "encoder/")).err).toBe("");
  expect((await train("--init", "mlp.json", "--data", "classes.jsonl", "-o", "classifier/")).err).toBe("");
  const points = (by: number) => lines([0, 1, 2].map((label) => ({ x: [label + by, -label], label })));
  for (const [by, name] of ["lost", "unseen"].entries()) writeFileSync(at(`${name}.jsonl`), points(by + 1));
  cpSync(at("classifier"), at("relearnt"), { recursive: true });
  for (const name of ["large", "small"]) cpSync(at("model"), at(name), { recursive: true });
  const predictor = { model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 1, problem_type: "regression" };
  writeFileSync(at("predictor.json"), JSON.stringify(predictor));
  writeFileSync(at("numbers.jsonl"), lines([0, 1, 2].map((y) => ({ x: [y, -y], y }))));
  const numbers = ["--init", "predictor.json", "--loss", "mse", "--data", "numbers.jsonl", "-o", "predictor/"];
  expect((await train(...numbers)).err).toBe("");
}, 120_000);

test.each(metrics.map(({ name, explained }) => [name, explained?.find(([label]) => label === "example")?.[1] ?? ""]))(
  "the example of %s runs",
  async (name, example) => {
    expect(example).toStartWith("bun run evaluate ");
    const { code, err, text } = await run(
      "evaluate",
      ...example.split(" ").slice(3),
      "--json",
      "--bootstrap",
      "0",
      "-q",
    );
    expect([code, err]).toEqual([0, expect.not.stringContaining("hint:")]);
    expect(JSON.parse(text)).toHaveProperty([name]);
    const help = (await run("evaluate", "--help", "--metric", name)).text;
    const lines = help.split("\n");
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    const told = help.replaceAll(/ \\\n +/g, " ").replaceAll(/\n {11}/g, " ");
    for (const [label, text] of metrics.find((metric) => metric.name === name)!.explained!)
      expect(told).toContain(`  ${label.padEnd(9)}${text}\n`);
  },
  60_000,
);

test("--list has a line for each", async () => {
  const { text } = await run("evaluate", "--list");
  for (const { name, about } of metrics) expect(text).toMatch(new RegExp(`^ *${name} +${RegExp.escape(about)}`, "m"));
});
