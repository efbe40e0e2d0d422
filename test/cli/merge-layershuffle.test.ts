/** `merge layershuffle`: which blocks it takes, and the recipe that makes the same bytes. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shuffledBlocks, shuffledModels } from "../../src/merge/commands/layershuffle.ts";
import { merge, readTensors, type Shapes, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const decoder = (layers: number): Shapes => ({
  "model.embed_tokens.weight": [16, 8],
  ...Object.fromEntries(Array.from({ length: layers }, (_, l) => [`model.layers.${l}.mlp.up_proj.weight`, [12, 8]])),
  "model.norm.weight": [8],
  "lm_head.weight": [16, 8],
});
const config = (layers: number) => ({ "config.json": { model_type: "llama", num_hidden_layers: layers } });

let folder: string;
const models = { a: tensorsOf(decoder(6), 1), b: tensorsOf(decoder(6), 2), long: tensorsOf(decoder(9), 3) };
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-layershuffle-"));
  writeModel(join(folder, "a"), models.a, config(6));
  writeModel(join(folder, "b"), models.b, config(6));
  writeModel(join(folder, "b@1+x"), models.b, config(6));
  writeModel(join(folder, "long"), models.long, config(9));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: string) => merge(["layershuffle", ...argv.split(" ")], { cwd: folder });
const bytes = (path: string) => readFileSync(join(folder, path));
const up = (tensors: typeof models.a, layer: number) =>
  tensors.find(({ name }) => name === `model.layers.${layer}.mlp.up_proj.weight`)!.data;

test("every block is that of a drawn model, and the kept recipe makes the same bytes", async () => {
  const { code, err } = await run("a b --seed 3 --write-recipe mixed.yml -q -o mixed");
  expect([code, err]).toEqual([0, ""]);
  const found = readTensors(bytes("mixed/model.safetensors"));
  const from = Array.from({ length: 6 }, (_, layer) => {
    const data = found.get(`model.layers.${layer}.mlp.up_proj.weight`)!.data;
    return [models.a, models.b].findIndex((model) => Buffer.compare(up(model, layer), data) === 0);
  });
  const wanted = shuffledModels(6, [1, 1], 3).flatMap(({ model, first, end }) => Array(end - first).fill(model));
  expect(from).toEqual(wanted);
  expect(new Set(from)).toEqual(new Set([0, 1]));
  const again = await merge("mixed.yml -q -o again".split(" "), { cwd: folder });
  expect([again.code, again.err]).toEqual([0, ""]);
  expect(bytes("again/model.safetensors").equals(bytes("mixed/model.safetensors"))).toBe(true);
  const printed = await run("a b --seed 3 --print-yaml");
  expect(printed.text).toBe(bytes("mixed.yml").toString());
});

test("mergekit's options say the same, and a path that looks like a revision stays one", async () => {
  await run("a b --weight 0.8,0.2 --seed 5 --dtype float16 -q -o ours.safetensors");
  const theirs = await run(
    "-m a -m b -w 0.8 -w 0.2 --random-seed 5 --fp16 --write-yaml theirs.yml -q -o theirs.safetensors",
  );
  expect([theirs.code, theirs.err]).toEqual([0, ""]);
  const [one, two] = [bytes("ours.safetensors"), bytes("theirs.safetensors")].map(readTensors);
  for (const [name, { dtype, data }] of one!) expect([name, dtype, two!.get(name)!.data]).toEqual([name, "F16", data]);
  const odd = await run("a ./b@1+x --weight 0,1 -q -o odd.safetensors");
  expect([odd.code, odd.err]).toEqual([0, ""]);
  expect(readTensors(bytes("odd.safetensors")).get("model.layers.4.mlp.up_proj.weight")!.data).toEqual(up(models.b, 4));
  const place = await run("-m a -m b out");
  expect([place.code, place.err]).toEqual([
    2,
    "merge: out: no such model\n  hint: for the result to go there: -o out\n",
  ]);
});

test("draws follow the weights, one stream per block", () => {
  const counts = [0, 0, 0];
  for (const { model, first, end } of shuffledModels(20_000, [6, 3, 1], 0)) counts[model]! += end - first;
  for (const [k, share] of [0.6, 0.3, 0.1].entries()) expect(counts[k]! / 20_000).toBeCloseTo(share, 1);
  // More blocks leave the draws of those before as they are.
  const models = (layers: number) =>
    shuffledModels(layers, [1, 1], 7).flatMap((p) => Array(p.end - p.first).fill(p.model));
  expect(models(40).slice(0, 12)).toEqual(models(12));
  const blocks = shuffledBlocks([6, 9], [0.5, 1 / 3], 1);
  expect([0, 1].map((model) => blocks.filter((piece) => piece.model === model).length)).toEqual([3, 3]);
  const many = shuffledBlocks([4], [1000], 2);
  expect([0, 1, 2, 3].map((first) => Math.round(many.filter((p) => p.first === first).length / 1000))).toEqual([
    1, 1, 1, 1,
  ]);
});

test("--full-random mixes models of different depth, and says how deep the result is", async () => {
  const { code, err } = await run("a long --full-random --seed 2 -q -o full");
  expect([code, err]).toEqual([0, ""]);
  expect(JSON.parse(bytes("full/config.json").toString()).num_hidden_layers).toBe(8);
  const found = readTensors(bytes("full/model.safetensors"));
  const drawn = shuffledBlocks([6, 9], [0.5, 0.5], 2);
  expect(drawn.length).toBe(8);
  for (const [layer, { model, first }] of drawn.entries()) {
    const wanted = up(model === 0 ? models.a : models.long, first);
    expect([layer, found.get(`model.layers.${layer}.mlp.up_proj.weight`)!.data]).toEqual([layer, wanted]);
  }
  const dry = await run("a long --full-random --write-recipe none.yml -n");
  expect([dry.code, dry.text, existsSync(join(folder, "none.yml"))]).toEqual([
    0,
    expect.stringContaining("tensors"),
    false,
  ]);
  expect((await run("a b --explain")).text).toContain("model.layers.0");
});

test("what cannot be shuffled is refused by name", async () => {
  const told = async (argv: string) => {
    const { code, err } = await run(argv);
    expect(code).toBe(2);
    return err;
  };
  expect(await told("a long -q -o x")).toContain("a has 6 blocks and long has 9");
  expect(await told("a b --weight 1 -q -o x")).toContain("--weight has 1 values for 2 models");
  expect(await told("a b --weight 0,0 -q -o x")).toContain("not all of them 0");
  expect(await told("a b --weight=-1,2 -q -o x")).toContain("expected shares");
  expect(await told("a b --full-random --weight 0.01,0.01 -q -o x")).toContain("leaves no block of any model");
  expect(await told("a b --dtype int8 -q -o x")).toContain("--dtype int8 is no type of a result");
  expect(await told("-q -o x")).toContain("no models to take blocks from");
  expect(await told("a gone -q -o x")).toContain("gone: no such file");
});
