/** A folder with a model that answers a digit by the next one, a classifier, a golden model and their rows. */
import { afterAll, expect } from "bun:test";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Ran, runScript } from "../support/command.ts";

const GOLDEN = fileURLToPath(new URL("../golden/train/", import.meta.url));

export const lines = (rows: readonly unknown[]): string => `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`;

export interface NextModel {
  readonly folder: string;
  at(name: string): string;
  run(name: string, argv: readonly string[]): Promise<Ran>;
}

/**
 * Makes the folder `name`, which goes when the tests of the file are done: `next/`, `mlp/`, `golden/` and rows for
 * each.
 */
export async function nextModel(name: string): Promise<NextModel> {
  const folder = mkdtempSync(join(tmpdir(), `ingot-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const at = (file: string) => join(folder, file);
  const run = (script: string, argv: readonly string[]) => runScript(script, argv, folder);
  cpSync(join(GOLDEN, "llama-tied"), at("golden"), { recursive: true });
  writeFileSync(at("ids.jsonl"), lines([{ input_ids: [1, 2, 3, 4] }, { input_ids: [5, 6, 7] }]));
  const config = {
    model_type: "llama",
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 264,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  };
  writeFileSync(at("config.json"), JSON.stringify(config));
  // One digit after another: learnt in seconds, and then nothing is left to chance.
  const sums = Array.from({ length: 10 }, (_, i) => ({ prompt: `${i}>`, completion: `${(i + 1) % 10}` }));
  writeFileSync(at("next.jsonl"), lines(sums));
  // What the model reads is cut before the completion of the first row.
  writeFileSync(at("cut.jsonl"), lines([{ prompt: "x".repeat(64), completion: "1" }, ...sums]));
  const common = ["--init", "config.json", "--tokenizer", "byte", "--data", "next.jsonl", "--batch-size", "10"];
  const trained = await run("train", [...common, "--steps", "120", "--lr", "0.01", "-o", "next/", "-q"]);
  expect(trained.err).toBe("");
  writeFileSync(at("mlp.json"), JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 3 }));
  writeFileSync(at("classes.jsonl"), lines([0, 1, 2].map((label) => ({ x: [label, -label], label }))));
  const mlp = await run("train", ["--init", "mlp.json", "--data", "classes.jsonl", "--steps", "1", "-o", "mlp/", "-q"]);
  expect(mlp.err).toBe("");
  return { folder, at, run };
}
