/** Adapters of models whose head is their embedding: what changes one changes the other, through every command. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { open } from "../../src/checkpoint/open.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";
import { configIn, factors, writeAdapter } from "./adapter-files.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-tied-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const [TABLE, Q] = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"];
const SHAPES = { [TABLE]: [12, 6], [Q]: [6, 6] };

/** A model whose head is its table; `copied` stores the head beside it, as some writers do. */
async function writeModel(name: string, seed: number, { copied = false } = {}): Promise<void> {
  const shapes = copied ? { ...SHAPES, "lm_head.weight": SHAPES[TABLE]! } : SHAPES;
  const tensors = Object.entries(shapes).map(([tensor, shape]) => ({
    ...{ name: tensor, dtype: "F32" as const, shape, bytes: 4 * sizeOf(shape) },
  }));
  const config = {
    model_type: "llama",
    architectures: ["LlamaForCausalLM"],
    tie_word_embeddings: true,
    vocab_size: 12,
  };
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(config))]]);
  const writer = await createWriter(at(name), { tensors, files, lineage: [] });
  for (const { name: tensor, shape } of tensors)
    await writer.write(tensor, encodeFloats(normals(seed + (tensor === Q ? 1 : 0), sizeOf(shape), 1), "F32"));
  await writer.finish();
}
await writeModel("base", 1);
await writeModel("tuned", 5);
await writeModel("copied-base", 1, { copied: true });
await writeModel("copied-tuned", 5, { copied: true });

async function run(script: "adapt" | "merge", ...argv: string[]): Promise<void> {
  const { code, err } = await runScript(script, argv, folder);
  expect(code, err).toBe(0);
}

/** Values of a model's tensors, and whether its config ties the head. */
async function modelOf(ref: string) {
  const opened = await open(ref.split("+").map(at).join("+"));
  const values = new Map<string, Float32Array>();
  for (const [name, entry] of opened.tensors) values.set(name, await mergeOnCpu(entry));
  const { tie_word_embeddings: tied } = JSON.parse(new TextDecoder().decode(opened.files.get("config.json")));
  opened.close();
  return { values, tied };
}

async function expectSame(ref: string, other: string): Promise<void> {
  const [one, two] = [await modelOf(ref), await modelOf(other)];
  expect([one.tied, [...one.values.keys()].sort()]).toEqual([two.tied, [...two.values.keys()].sort()]);
  for (const [name, values] of one.values)
    for (const [i, value] of values.entries()) expect(value).toBeCloseTo(two.values.get(name)![i]!, 4);
}

test("factors of a tied table change the head, too", async () => {
  await run("adapt", "extract", "tuned", "--base", "base", "--embed-lora", "-o", "factors");
  expect(configIn(at("factors"))).toMatchObject({ ensure_weight_tying: true, modules_to_save: null });
  await expectSame("base+factors", "tuned");
});

test("a head that is stored as a copy of the table is no change of its own", async () => {
  await run("adapt", "extract", "copied-tuned", "--base", "copied-base", "--embed-lora", "-o", "copied");
  expect(configIn(at("copied"))).toMatchObject({
    ensure_weight_tying: true,
    target_modules: ["embed_tokens", "q_proj"],
  });
  await expectSame("base+copied", "tuned");
});

test("an adapter that changes no table says nothing of ties", async () => {
  await run("adapt", "extract", "tuned", "--base", "base", "--exclude-regex", "embed", "-o", "no-table");
  expect(configIn(at("no-table"))).not.toHaveProperty("ensure_weight_tying");
});

test("what ties keeps its tie when it is resized, combined and merged", async () => {
  await run("adapt", "extract", "tuned", "--base", "base", "-o", "held");
  for (const name of ["factors", "held"]) {
    await run("adapt", "resize", name, "--rank", "6", "-o", `${name}-six`);
    await expectSame(`base+${name}-six`, "tuned");
    await run("adapt", "combine", name, "--method", "cat", "-o", `${name}-cat`);
    await expectSame(`base+${name}-cat`, "tuned");
    await run("merge", name, "--method", "passthrough", "-o", `${name}-merged`);
    await expectSame(`base+${name}-merged`, "tuned");
  }
});

test("adapters that change the table and do not agree on ties are refused; those that leave it alone go with any", async () => {
  const table = { "model.embed_tokens.lora_embedding_A": { shape: [2, 12], values: normals(1, 24, 1) } };
  const other = { "model.embed_tokens.lora_embedding_B": { shape: [6, 2], values: normals(2, 12, 1) } };
  writeAdapter(at("untied"), { ...table, ...other }, { target_modules: ["embed_tokens"] });
  writeAdapter(at("plain"), factors({ "model.layers.0.self_attn.q_proj": [6, 6] }, 2, 3), {
    target_modules: ["q_proj"],
  });
  const combine = (...argv: string[]) => runScript("adapt", ["combine", ...argv, "--method", "cat"], folder);
  for (const dry of [[], ["--dry-run"]]) {
    const { code, err } = await combine("factors", "untied", ...dry, "-o", "refused");
    expect([code, err]).toEqual([2, expect.stringContaining("differ in ensure_weight_tying")]);
  }
  expect((await combine("plain", "factors", "-o", "with-plain")).code).toBe(0);
  expect(configIn(at("with-plain")).ensure_weight_tying).toBe(true);
});
