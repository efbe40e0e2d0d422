/** `sample --method`: what it refuses, and what it says with several models. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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

test.each([
  [["--method", "contrastive"], "--method contrastive takes 2 models, and there is 1"],
  [["--method", "contrastiv", "--with", "b/"], "unknown decoder contrastiv"],
  [["--method", "contrastive", "--with", "b/", "--ensemble", "equal"], "--ensemble equal both say how models write"],
  [["--method", "contrastive", "--with", "b/", "--skip-layers", "0"], "--skip-layers both say how models write"],
])("%p is refused", async (argv, message) => {
  const { code, err } = await run("sample", "a/", "12+30=", ...argv);
  expect(code).toBe(2);
  expect(err).toContain(message);
});
