/** The recipes that mergekit shows, run over tiny models: which run unchanged, and which do not. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import { orderRecipes } from "../../src/checkpoint/lineage/recipe/order-recipes.ts";
import { parseRecipe } from "../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { type Recipe, recipeReferences } from "../../src/checkpoint/lineage/recipe/recipe.ts";
import { referenceKey } from "../../src/checkpoint/reference.ts";
import { readGenome } from "../../src/merge/search/genome.ts";
import { type GoldenOutput, runRecipe } from "../golden/formats/merge.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { json, writeTiny } from "./experts/models.ts";
import { EXAMPLES, type Example, MOE_EXAMPLES } from "./mergekit-recipes.ts";
import { checkpoint, entry } from "./plan/fixtures.ts";

setDefaultTimeout(120_000); // the machine may be busy
const gpu = await sharedGpu();

const WORDS = ["<unk>", "a", "b", "c"];

/** A decoder of so many blocks with random values; a tokenizer of four words and what is asked for besides. */
function model(ref: string, layers: number, seed: number, more: readonly string[] | undefined): Checkpoint {
  const rows = WORDS.length + (more?.length ?? 0);
  const shapes: Record<string, readonly number[]> = { "model.embed_tokens.weight": [rows, 4] };
  for (let i = 0; i < layers; i++)
    for (const [part, shape] of Object.entries({
      "self_attn.q_proj.weight": [4, 4],
      "mlp.up_proj.weight": [6, 4],
      "mlp.down_proj.weight": [4, 6],
      "input_layernorm.weight": [4],
    }))
      shapes[`model.layers.${i}.${part}`] = shape;
  Object.assign(shapes, { "model.norm.weight": [4], "lm_head.weight": [rows, 4] });
  const config = { model_type: "llama", num_hidden_layers: layers, vocab_size: rows, tie_word_embeddings: false };
  const vocab = Object.fromEntries([...WORDS, ...(more ?? [])].map((token, id) => [token, id]));
  const tokenizer = {
    added_tokens: (more ?? []).map((content, i) => ({ id: WORDS.length + i, content, special: true })),
    model: { type: "WordLevel", unk_token: "<unk>", vocab },
  };
  const files = { "config.json": config, ...(more && { "tokenizer.json": tokenizer, "tokenizer_config.json": {} }) };
  const tensors = Object.entries(shapes).map(([name, shape], i) => {
    const count = shape.reduce((product, n) => product * n, 1);
    return [name, entry(name, "F32", shape, encodeFloats(normals(1000 * seed + i, count), "F32"))] as const;
  });
  return { ...checkpoint(ref, {}, files), tensors: new Map(tensors) };
}

/** A result as a model that later recipes name. */
const asModel = (ref: string, output: GoldenOutput, files: ReadonlyMap<string, Uint8Array>): Checkpoint => ({
  ...checkpoint(ref, {}),
  files,
  tensors: new Map([...output].map(([name, { dtype, shape, bytes }]) => [name, entry(name, dtype, shape, bytes)])),
});

/** Runs all recipes of a file; gives the result of the last, and what was said of the recipes. */
async function run({ recipe: text, layers = 3, tokens }: Example) {
  const recipes: Recipe[] = orderRecipes(await parseRecipe(text, "example.yml"));
  const models = new Map<string, Checkpoint>();
  let result: Awaited<ReturnType<typeof runRecipe>> | undefined;
  for (const recipe of recipes) {
    for (const ref of recipeReferences(recipe)) {
      const key = referenceKey(ref);
      if (!models.has(key)) models.set(key, model(key, layers, models.size + 1, tokens?.[key]));
    }
    result = await runRecipe(recipe, models, { gpu });
    if (recipe.name !== undefined) models.set(recipe.name, asModel(recipe.name, result.output, result.files));
  }
  return { result: result!, warnings: recipes.flatMap(({ warnings }) => warnings), models };
}

/** What is said of recipes that run: settings of the tool that ingot does not have, or has elsewhere. */
const SAID: Readonly<Record<string, readonly RegExp[]>> = {
  "mega by out_path": [/out_path is what other recipes call the result/, /out_path is what other recipes/],
};

/** Layers of results that have others than their models. */
const STACKED: Readonly<Record<string, number>> = { "forty-four layers": 44, "guide: passthrough": 6 };

test.each(Object.entries(EXAMPLES))("%s runs unchanged", async (name, example) => {
  const { result, warnings } = await run(example);
  const said = SAID[name] ?? [];
  expect(warnings.length).toBe(said.length);
  for (const [i, pattern] of said.entries()) expect(warnings[i]!).toMatch(pattern);
  const values = [...result.output.values()].map(({ bytes, dtype }) => decodeFloats(bytes, dtype));
  expect(values.every((floats) => floats.every(Number.isFinite))).toBe(true);
  expect(values.some((floats) => floats.some((value) => value !== 0))).toBe(true);
  const layers = STACKED[name] ?? example.layers ?? 3;
  const found = result.output.get(`model.layers.${layers - 1}.mlp.up_proj.weight`)!;
  expect(result.output.size).toBe(4 * layers + 3);
  expect(JSON.parse(new TextDecoder().decode(result.files.get("config.json"))).num_hidden_layers).toBe(layers);
  const wanted = /dtype: (\w+)/.exec(example.recipe)?.[1];
  expect(found.dtype).toBe(wanted === "float16" ? "F16" : wanted === "bfloat16" ? "BF16" : "F32");
});

test("patterns of older recipes are filters, and results are named by their out_path", async () => {
  const [now, before] = [await run(EXAMPLES["gradient-slerp"]!), await run(EXAMPLES["gradient-slerp by pattern"]!)];
  for (const [name, { bytes }] of now.result.output)
    expect([name, before.result.output.get(name)!.bytes]).toEqual([name, bytes]);
  // By hand: t is 1 for the first mlp, and 0 for the first self_attn, which is the base's.
  const [base, other] = [...now.models.values()];
  const rounded = async (of: Checkpoint, name: string) => {
    const bytes = new Uint8Array(of.tensors.get(name)!.bytes);
    await of.tensors.get(name)!.read(bytes, 0);
    return encodeFloats(decodeFloats(bytes, "F32"), "F16");
  };
  for (const [name, of] of [
    ["model.layers.0.self_attn.q_proj.weight", base],
    ["model.layers.0.mlp.up_proj.weight", other],
  ] as const)
    expect(now.result.output.get(name)!.bytes).toEqual(Uint8Array.from(await rounded(of!, name)));
});

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-mergekit-"));
  for (const [i, name] of ["base", "one", "two", "three"].entries())
    await writeTiny(folder, name, json("llama"), 3 + i);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** mergekit-moe too wants a flag where all experts are one model. */
const MOE_FLAGS: Readonly<Record<string, string>> = { "moe: upcycling": "--allow-identical" };

test.each(Object.entries(MOE_EXAMPLES))("%s runs", async (name, { recipe }) => {
  writeFileSync(join(folder, "experts.yml"), recipe);
  const flags = (MOE_FLAGS[name] ?? "").split(" ").filter((flag) => flag !== "");
  const { code, err } = await runScript(
    "merge",
    ["moe", "experts.yml", "-o", "mixture", "--overwrite", ...flags],
    folder,
  );
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
});

test("the genome of docs/evolve.md is read as it is, its task from rows of that name", async () => {
  const genome = `
genome:
  models: [one/math, two/code]
  merge_method: dare_ties
  base_model: org/base
  tokenizer_source: null # optional
  layer_granularity: 8
  normalize: false
  allow_negative_weights: false
  smooth: false
  filters: [self_attn, mlp]
tasks:
  - name: some_task
    weight: 1.0
    metric: "acc,none"`;
  const read = await readGenome(genome, "evolve.yml", ["some_task"]);
  expect(Object.keys(read).length).toBeGreaterThan(2);
  expect(readGenome(genome.replace("dare_ties", "dare"), "evolve.yml", ["some_task"])).rejects.toThrow();
});

/** What mergekit shows beside recipes of these kinds, and why it does not run as it stands. */
const OTHERWISE: Readonly<Record<string, string>> = {
  "README, mergekit-extract-lora": "the command is `adapt extract MODEL --base BASE --rank 32 -o OUT`",
  "README, mergekit-pytorch": "the same recipes; `merge` matches flat checkpoints by name as it does all others",
  "docs/tokensurgeon.md": "the command is `merge transplant MODEL DONOR -o OUT`; docs/tokenizers.md",
};

test("how many run unchanged, with a flag, and not at all", () => {
  const recipes = Object.keys(EXAMPLES).length + Object.keys(MOE_EXAMPLES).length;
  expect([recipes, Object.keys(MOE_FLAGS).length, Object.keys(OTHERWISE).length]).toEqual([45, 1, 3]);
});
