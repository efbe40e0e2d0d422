/** `--load-in` of the scripts: an adapter beside codes, codes as they are stored, and what is refused. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-load-in-"));
afterAll(() => rmSync(folder, { recursive: true }));

const run = (script: string, ...args: string[]) => runScript(script, args, folder);
const memoryOf = (text: string) => (JSON.parse(text) as { memory: { weights: number } }).memory.weights;

test("codes are trained beside, scored as they are stored, and merged as values", async () => {
  const config = { model_type: "llama", hidden_size: 64, intermediate_size: 96, num_hidden_layers: 1 };
  const more = { num_attention_heads: 2, vocab_size: 264, max_position_embeddings: 32, torch_dtype: "bfloat16" };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify({ ...config, ...more }));
  writeFileSync(join(folder, "rows.jsonl"), '{"text": "abcabcabc"}\n{"text": "bcdbcdbcd"}\n');
  const data = ["--data", "rows.jsonl"];
  await run("train", "--init", "tiny.json", "--tokenizer", "byte", ...data, "--steps", "2", "-o", "base");
  await run("compress", "base", "--quant", "rtn", "--group", "32", "--format", "gptq", "-o", "codes");

  const lora = ["--lora", "--lora-rank", "2", "--steps", "1", ...data];
  const plan = async (...how: string[]) =>
    memoryOf((await run("train", "codes", ...lora, ...how, "--dry-run", "--json")).text);
  expect(await plan("--load-in", "stored")).toBeLessThan(0.7 * (await plan()));

  expect((await run("train", "codes", ...lora, "--load-in", "stored", "-o", "adapter")).code).toBe(0);
  const score = async (...args: string[]) => {
    const { text } = await run("evaluate", ...args, ...data, "--metric", "loss", "--bootstrap", "0", "--json");
    return (JSON.parse(text) as { loss: number }).loss;
  };
  const beside = await score("codes+adapter", "--load-in", "stored");
  expect(beside).toBeCloseTo(await score("codes+adapter"), 4);

  const merged = await run("merge", "codes+adapter", "--method", "passthrough", "-o", "merged");
  expect(merged.err).toContain(
    "codes+adapter adds an adapter to weights that are stored as codes (GPTQ, 4 bit, groups of 32)",
  );

  const refused = async (...args: string[]) => (await run("train", ...args, ...data, "-o", "none")).err;
  expect(await refused("base", "--load-in", "4bit")).toContain(
    "--load-in 4bit holds matrices as codes, which nothing trains",
  );
  expect(await refused("base", "--lora", "--load-in", "stored")).toContain("base holds no weights of layers as codes");
  expect(await refused("base", "--lora", "--dora", "--load-in", "nf4")).toContain("is held as codes (--load-in)");
});
