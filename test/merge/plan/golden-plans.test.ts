/** Plans of mergekit's recipes against the names, shapes and types that mergekit wrote. */
import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { recipeReferences } from "../../../src/checkpoint/lineage/recipe/recipe.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { type MergePlan, planMerge } from "../../../src/merge/plan/merge-plan.ts";
import { planBytes } from "../../../src/merge/plan/plan-bytes.ts";
import { explain } from "../../../src/merge/reports/explain.ts";
import { relatedness } from "../../../src/merge/reports/relatedness.ts";
import { METHODS } from "./fixtures.ts";

const GOLDEN = path.join(import.meta.dir, "../../golden/merge");
const opened = new Map<string, Checkpoint>();
afterAll(() => {
  for (const checkpoint of opened.values()) checkpoint.close();
});

async function input(ref: string): Promise<Checkpoint> {
  const folder = path.join(GOLDEN, ref);
  const checkpoint = opened.get(folder) ?? (await open(folder));
  opened.set(folder, checkpoint);
  return checkpoint;
}

async function plan(id: string): Promise<MergePlan> {
  const file = path.join(GOLDEN, "cases", `${id}.yml`);
  const [recipe] = await parseRecipe(readFileSync(file, "utf8"), `${id}.yml`);
  const models = new Map<string, Checkpoint>();
  for (const ref of recipeReferences(recipe!)) models.set(referenceKey(ref), await input(ref.path));
  return planMerge(recipe!, models, METHODS.get(recipe!.method)!);
}

type Header = Record<string, { dtype: string; shape: number[] }>;

function header(file: string): Header {
  const bytes = readFileSync(file);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const { __metadata__: _, ...tensors } = JSON.parse(bytes.subarray(8, 8 + length).toString());
  return tensors;
}

const cases = readdirSync(path.join(GOLDEN, "cases")).map((name) => path.basename(name, ".yml"));
const expected = readdirSync(path.join(GOLDEN, "expected"));

describe("mergekit's golden cases", () => {
  test("are all there", () => {
    expect(cases.length).toBe(55);
  });

  for (const id of cases.filter((id) => expected.includes(`${id}.safetensors`))) {
    test(`${id} has mergekit's names, shapes and types`, async () => {
      const { tensors } = await plan(id);
      const found = Object.fromEntries(tensors.map(({ name, outDtype, shape }) => [name, { dtype: outDtype, shape }]));
      const wanted = Object.entries(header(path.join(GOLDEN, "expected", `${id}.safetensors`))).map(
        ([name, { dtype, shape }]) => [name, { dtype, shape }],
      );
      expect(found).toEqual(Object.fromEntries(wanted));
      expect(new Set(tensors.map(({ kind }) => kind))).toEqual(new Set(["merge"]));
    });
  }

  for (const id of cases.filter((id) => !expected.includes(`${id}.safetensors`))) {
    test(`${id}, a random one, has the names and shapes of its statistics`, async () => {
      const stats = header(path.join(GOLDEN, "expected", `${id}.stats.safetensors`));
      const wanted = Object.entries(stats).flatMap(([name, { shape }]) =>
        name.startsWith("mean_delta.") ? [[name.slice("mean_delta.".length), shape] as const] : [],
      );
      const { tensors } = await plan(id);
      expect(Object.fromEntries(tensors.map(({ name, shape }) => [name, shape]))).toEqual(Object.fromEntries(wanted));
    });
  }
});

const named = (plan: MergePlan, name: string) => plan.tensors.find((tensor) => tensor.name === name)!;

describe("the plan of a golden case", () => {
  test("has weights that follow a gradient over depth, the first anchor outside the layers", async () => {
    const gradient = await plan("linear-gradient"); // base [0, 0.3, 1], ft1 [1, 0.7, 0], 6 layers
    const weights = (name: string) => named(gradient, name).perModel.map(({ weight }) => weight);
    expect(weights("model.layers.0.mlp.up_proj.weight")).toEqual([0, 1]);
    expect(weights("model.layers.5.mlp.up_proj.weight")).toEqual([1, 0]);
    const [base, tuned] = weights("model.layers.2.mlp.up_proj.weight") as number[]; // depth 0.4: 0.8 of the way to 0.3
    expect(base).toBeCloseTo(0.24, 12);
    expect(tuned).toBeCloseTo(0.76, 12);
    expect(weights("model.norm.weight")).toEqual([0, 1]);
    expect(weights("lm_head.weight")).toEqual([0, 1]);
  });

  test("takes the first filter that matches", async () => {
    const filtered = await plan("slerp-gradient-filter");
    const t = (name: string) => named(filtered, name).values.t;
    expect(t("model.layers.5.self_attn.q_proj.weight")).toBe(1);
    expect(t("model.layers.5.mlp.down_proj.weight")).toBe(0);
    expect(t("model.layers.5.input_layernorm.weight")).toBe(0.5);
    expect(named(filtered, "lm_head.weight").models.length).toBe(1);
  });

  test("reads stacked layers from where the slices say and renumbers them", async () => {
    const stacked = await plan("passthrough-stack"); // base 0-3, ft1 2-5
    const source = (name: string) => named(stacked, name).models[0]!.name;
    expect(source("model.layers.3.mlp.up_proj.weight")).toBe("model.layers.3.mlp.up_proj.weight");
    expect(source("model.layers.4.mlp.up_proj.weight")).toBe("model.layers.2.mlp.up_proj.weight");
    expect(stacked.models).toEqual([path.join(GOLDEN, "inputs/deep/base"), path.join(GOLDEN, "inputs/deep/ft1")]);
    expect(named(stacked, "model.embed_tokens.weight").modelIndex).toEqual([0]);
    expect(named(stacked, "model.norm.weight").modelIndex).toEqual([1]);
    expect(named(stacked, "lm_head.weight").modelIndex).toEqual([1]);
    expect(named(stacked, "model.layers.7.mlp.up_proj.weight").depth).toBe(1);
    const config = new TextDecoder().decode(stacked.files.get("config.json"));
    expect(JSON.parse(config).num_hidden_layers).toBe(8);
  });

  test("cuts embeddings to the rows that all models have", async () => {
    const cut = await plan("linear-vocab-mismatch");
    const table = named(cut, "model.embed_tokens.weight");
    expect(table.crop).toEqual({ rows: 32, columns: 16 });
    expect(table.models.map(({ shape }) => shape[0])).toEqual([32, 36, 32]);
    expect(cut.warnings).toEqual(["heights differ, cut to the common (32, 16): model.embed_tokens.weight"]);
    expect(named(cut, "model.norm.weight").crop).toBeUndefined();
  });

  test("says what is read and written", async () => {
    const { tensors } = await plan("task_arithmetic-mixed");
    expect(named({ tensors } as MergePlan, "lm_head.weight").workDtype).toBe("F32");
    const copy = await plan("passthrough-copy");
    expect(planBytes(copy)).toEqual({ input: 22688 * 2, output: 22688 * 2, tensors: 21 });
    const mixed = await plan("linear-2-mixed");
    expect(planBytes(mixed)).toEqual({ input: 2 * 22688 * 2, output: 22688 * 2, tensors: 21 });
    const config = JSON.parse(new TextDecoder().decode(mixed.files.get("config.json")));
    expect(config.torch_dtype).toBe("bfloat16");
    const kept = await plan("linear-no-dtype");
    expect(kept.files.get("config.json")).toEqual((await input("inputs/tiny-f32/ft1")).files.get("config.json")!);
  });

  test("explains its parameters, layers with equal ones in one row", async () => {
    const { columns, rows } = explain(await plan("linear-filter"));
    const short = columns.map((column) => column.replace(GOLDEN, "").replace(/\/inputs|\\inputs/, ""));
    expect(short).toEqual(["tensor", "weight /deep/base", "weight /deep/ft1", "normalize"]);
    expect(rows).toContainEqual(["model.layers.0-5.self_attn.q_proj.weight", "0.8", "1", "true"]);
    expect(rows).toContainEqual(["model.layers.2.mlp.up_proj.weight", "0.36", "1", "true"]);
  });
});

test("fine-tunes of one base are related, other models are not", async () => {
  const refs = ["inputs/deep/base", "inputs/deep/ft1", "inputs/deep/ft2"];
  const related = await relatedness(await Promise.all(refs.map(input)));
  expect(related!.problems).toEqual([]);
  expect(related!.relations.every(({ cosine }) => cosine > 0.7)).toBe(true);
  expect(related!.pairs.length).toBe(1);
});
