/** `merge` of adapters alone gives an adapter: what its methods make of the changes, cut to a rank. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../src/checkpoint/open.ts";
import { runScript } from "../support/command.ts";
import { changesIn, configIn, factors, writeAdapter } from "./adapter-files.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-merge-adapters-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const merge = (...argv: string[]) => runScript("merge", argv, folder);

const [Q, V] = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.v_proj"];
const targets = { target_modules: ["q_proj", "v_proj"] };
writeAdapter(at("a"), factors({ [Q]: [6, 4] }, 2, 1), { ...targets, lora_alpha: 4 });
writeAdapter(at("b"), factors({ [Q]: [6, 4], [V]: [5, 4] }, 3, 2), { ...targets, r: 3, lora_alpha: 3 });
const [a, b] = [await changesIn(at("a")), await changesIn(at("b"))];

const expectClose = (found: readonly number[], expected: readonly number[]) => {
  expect(found.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(found[i]!).toBeCloseTo(value, 4);
};

test("a linear merge is the weighted mean of the changes, where the rank suffices", async () => {
  const { code, err } = await merge(
    "a",
    "b",
    "--method",
    "linear",
    "--weight",
    "3,1",
    "--adapter-rank",
    "4",
    "-o",
    "mean",
  );
  expect(code, err).toBe(0);
  expect(err).toContain("all 2 models are adapters, and so is the result");
  const mean = await changesIn(at("mean"));
  expectClose(
    mean.get(Q)!.change,
    a.get(Q)!.change.map((value, i) => 0.75 * value + 0.25 * b.get(Q)!.change[i]!),
  );
  expectClose(
    mean.get(V)!.change,
    b.get(V)!.change.map((value) => 0.25 * value),
  );
  expect(configIn(at("mean"))).toMatchObject({ r: 4, lora_alpha: 4, base_model_name_or_path: "base" });
  const { lineage } = await openPlain(at("mean"));
  expect(lineage.at(-1)).toMatchObject({ script: "merge", method: "linear", options: { adapter_rank: 4 } });
});

test("task vectors are the changes themselves, and a recipe does the same", async () => {
  await merge("a", "b", "--method", "task_arithmetic", "--weight", "1,0.5", "--adapter-rank", "4", "-o", "sum");
  const sum = await changesIn(at("sum"));
  expectClose(
    sum.get(Q)!.change,
    a.get(Q)!.change.map((value, i) => value + 0.5 * b.get(Q)!.change[i]!),
  );
  writeFileSync(
    at("recipe.yml"),
    "merge_method: task_arithmetic\nmodels:\n  - {model: a, parameters: {weight: 1}}\n  - {model: b, parameters: {weight: 0.5}}\n",
  );
  const { code, err } = await merge("recipe.yml", "--adapter-rank", "4", "-o", "by-recipe");
  expect(code, err).toBe(0);
  expect([...(await changesIn(at("by-recipe")))]).toEqual([...sum]);
});

test("the cut to a rank is the best of that rank, and its cost is told", async () => {
  const { text, code, err } = await merge("b", "--method", "linear", "--adapter-rank", "1", "--json", "-o", "cut");
  expect(code, err).toBe(0);
  const cut = await changesIn(at("cut"));
  const lost = [Q, V].flatMap((module) => cut.get(module)!.change.map((value, i) => value - b.get(module)!.change[i]!));
  const whole = [Q, V].flatMap((module) => b.get(module)!.change);
  expect(JSON.parse(text).error).toBeCloseTo(Math.hypot(...lost) / Math.hypot(...whole), 5);
});

test.each(["ties", "dare_linear", "breadcrumbs", "model_stock", "slerp", "tsv_m", "nuslerp"])(
  "%s of two adapters is an adapter of both their modules",
  async (name) => {
    const base = name === "slerp" ? ["--base", "a", "--t", "0.5"] : [];
    const { code, err } = await merge("a", "b", ...base, "--method", name, "-q", "-o", `by-${name}`);
    expect(code, err).toBe(0);
    const made = await changesIn(at(`by-${name}`));
    expect([...made].map(([module, { rank }]) => [module, rank])).toEqual([
      [Q, 3],
      [V, 3],
    ]);
    expect(made.get(Q)!.change.some((value) => Math.abs(value) > 0.01)).toBe(true);
  },
);

test("a dry run and an explanation write nothing; models among the inputs give a model", async () => {
  const dry = await merge("a", "b", "--method", "ties", "-n", "--json", "-o", "dry");
  expect([dry.code, JSON.parse(dry.text)]).toEqual([0, expect.objectContaining({ adapter: true, tensors: 4 })]);
  const explained = await merge("a", "b", "--method", "ties", "--explain");
  expect([explained.code, explained.text]).toEqual([0, expect.stringContaining("density a")]);
  expect(existsSync(at("dry"))).toBe(false);
  const refused = async (...argv: string[]) => {
    const { code, err } = await merge(...argv, "-o", "refused");
    expect([code, existsSync(at("refused"))]).toEqual([2, false]);
    return err;
  };
  // The base that the adapter's config names is not there.
  expect(await refused("a", "b", "--method", "ties", "--base", "model")).toContain("names base as its base");
  expect(await refused("a", "b", "--method", "linear", "--shards", "2")).toContain(
    "--shards has no effect on adapters",
  );
  for (const flag of ["--shard-size", "--out-shard-size"])
    expect(await refused("a", "b", "--method", "linear", flag, "1MB")).toContain(`${flag} has no effect on adapters`);
  for (const flag of ["--add-tokens", "--add-special-tokens"])
    expect(await refused("a", "b", "--method", "linear", flag, "<x>")).toContain(`${flag} has no effect on adapters`);
  const recipe = async (name: string, text: string) => {
    writeFileSync(at(name), text);
    return refused(name);
  };
  const both = "models: [{model: a}, {model: b}]\nmerge_method: linear\nparameters: {weight: 1}\n";
  expect(await recipe("union.yml", `${both}tokenizer_source: union\n`)).toContain(
    "union.yml: a tokenizer has no effect on adapters",
  );
  expect(await recipe("chat.yml", `${both}chat_template: chatml\n`)).toContain("chat.yml: chat_template has no effect");
  for (const [name, layers] of Object.entries({
    fewer: "[0, 1]",
    double: "[0, 2]}]}, {sources: [{model: b, layer_range: [1, 2]",
  }))
    expect(
      await recipe(
        `${name}.yml`,
        `slices: [{sources: [{model: b, layer_range: ${layers}}]}]\nmerge_method: passthrough\n`,
      ),
    ).toContain(`${name}.yml: the slices are not all layers in their order`);
  expect(await refused("a", "b", "--method", "adamerging")).toContain("learns its coefficients by running the models");
  writeAdapter(at("model"), { "x.weight": { shape: [2, 2], values: new Float32Array(4) } });
  rmSync(at("model/adapter_config.json"));
  expect(await refused("model/adapter_model.safetensors", "--method", "linear", "--adapter-rank", "2")).toContain(
    "the result is a model",
  );
});
