/** `merge --align`: parts of the models in one order before any method. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { permuted } from "../../src/merge/structure/permutations.ts";
import { anatomyOf } from "../../src/model/structure/anatomy.ts";
import { named, network, valuesOf } from "../merge/structure/networks.ts";
import { sharedGpu } from "../support/gpu.ts";
import { DECODER, merge, readTensors, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const CONFIG = {
  ...{ model_type: "llama", hidden_size: 16, intermediate_size: 12, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, vocab_size: 20, max_position_embeddings: 32, initializer_range: 0.3 },
};

let folder: string;
const made = async (entries: Iterable<TensorEntry>) =>
  Promise.all([...entries].map(async (entry) => ({ ...entry, shape: [...entry.shape], data: await valuesOf(entry) })));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-align-"));
  const gpu = await sharedGpu();
  const [a, b] = [named(await network(gpu, CONFIG, 1)), named(await network(gpu, CONFIG, 2))];
  const anatomy = anatomyOf(a);
  const reversed = new Map(
    [...anatomy.spaces.values()].map(({ id, units }) => [
      id,
      Int32Array.from({ length: units }, (_, i) => units - 1 - i),
    ]),
  );
  const without = new Map([...reversed].filter(([id]) => id !== "width"));
  const files = { "config.json": CONFIG };
  const all = new Set(reversed.keys());
  writeModel(join(folder, "a"), await made(a.tensors.values()), files);
  writeModel(join(folder, "b"), await made(b.tensors.values()), files);
  writeModel(join(folder, "turned"), await made(permuted(a, anatomy, () => without, all).tensors.values()), files);
  writeModel(join(folder, "whole"), await made(permuted(a, anatomy, () => reversed, all).tensors.values()), files);
  await run("a --method passthrough -q -o own.safetensors");
  writeModel(join(folder, "dark"), tensorsOf(DECODER, 2), { "config.json": { model_type: "llama" } });
  writeModel(join(folder, "blind"), tensorsOf(DECODER, 1), { "config.json": { model_type: "llama" } });
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: string) => merge(argv.split(" "), { cwd: folder });
const tensors = (path: string) =>
  [...readTensors(readFileSync(join(folder, path)))].map(([name, { data }]) => [name, data]);

test("a model merged with itself in another order is itself, to the bit, by any method", async () => {
  const { code, err } = await run("a turned --method linear --weight 0.5 --align weights -o linear.safetensors");
  expect([code, err]).toEqual([0, expect.stringContaining("turned is aligned with a: ")]);
  // Per block 12 hidden units, 4 heads and 2 of keys and values, all turned round.
  expect(err).toContain("36 of 36 units and heads move");
  expect(tensors("linear.safetensors")).toEqual(tensors("own.safetensors"));
  const ties = await run("turned whole --base a --method ties --weight 1 --align residual -q -o ties.safetensors");
  expect([ties.code, ties.err]).toEqual([0, ""]);
  expect(tensors("ties.safetensors")).toEqual(tensors("own.safetensors"));
  const plain = await run("a turned --method linear --weight 0.5 -q -o plain.safetensors");
  expect(plain.code).toBe(0);
  expect(tensors("plain.safetensors")).not.toEqual(tensors("own.safetensors"));
});

test("recipes take it, lineage says it, a dry run reads nothing and counts its memory", async () => {
  const text =
    "merge_method: linear\nmodels: [{model: ./a, parameters: {weight: 1}}, {model: ./b, parameters: {weight: 1}}]\n";
  writeFileSync(join(folder, "mean.yml"), text);
  expect((await run("mean.yml --align weights -q -o one.safetensors")).code).toBe(0);
  await run("a b --method linear --weight 1 --align weights -q -o two.safetensors");
  expect(tensors("one.safetensors")).toEqual(tensors("two.safetensors"));
  const header = readFileSync(join(folder, "two.safetensors")).subarray(0, 4096).toString("latin1");
  expect(header).toContain('\\"align\\":\\"weights\\"');
  await run("a b --method linear --weight 1 --align weights -q -o again.safetensors");
  expect(readFileSync(join(folder, "again.safetensors")).equals(readFileSync(join(folder, "two.safetensors")))).toBe(
    true,
  );
  const dry = async (more: string) => JSON.parse((await run(`a b --method linear --weight 1 -n --json${more}`)).text);
  const [plain, aligned] = [await dry(""), await dry(" --align residual")];
  expect(aligned.host_memory - plain.host_memory).toBe(8 * 16 ** 2);
});

test("a model with NaN has no order, and the tensor is named", async () => {
  const bytes = readFileSync(join(folder, "b/model.safetensors"));
  const header = 8 + Number(bytes.readBigUInt64LE(0));
  const { data_offsets } = JSON.parse(bytes.subarray(8, header).toString())["model.layers.0.mlp.up_proj.weight"];
  bytes.writeFloatLE(Number.NaN, header + data_offsets[0]);
  mkdirSync(join(folder, "broken"));
  writeFileSync(join(folder, "broken/model.safetensors"), bytes);
  writeFileSync(join(folder, "broken/config.json"), readFileSync(join(folder, "b/config.json")));
  const { code, err } = await run("a broken --method linear --weight 1 --align weights -q -o broken-out.safetensors");
  expect([code, err]).toEqual([1, expect.stringContaining("up_proj.weight of a and of broken have no finite inner")]);
  expect(err).not.toContain("    at ");
});

test("what cannot be aligned is refused by name", async () => {
  const slices = "merge_method: passthrough\nslices:\n- sources: [{model: ./a, layer_range: [0, 1]}]\n";
  writeFileSync(join(folder, "slices.yml"), slices);
  const told = async (argv: string) => {
    const { code, err } = await run(argv);
    expect(code).toBe(2);
    return err;
  };
  expect(await told("slices.yml --align weights -q -o x")).toContain("--align is for whole models");
  expect(await told("blind dark --method linear --align weights -q -o x")).toContain("no hidden units or heads");
  expect(await told("blind dark --method karcher --align residual -q -o x")).toContain(
    "what the sides of model.embed_tokens.weight stand for is not known",
  );
  expect(await told("a b --method linear --align heads -q -o x")).toContain("--align");
  const piped = await merge("- a --method linear --weight 1 --align weights -q -o x".split(" "), {
    cwd: folder,
    stdin: new Uint8Array(readFileSync(join(folder, "b/model.safetensors"))),
  });
  expect([piped.code, piped.err]).toEqual([2, expect.stringContaining("- is a stream")]);
});
