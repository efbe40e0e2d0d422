/** Stages of a deep network inside a shallow one, and the deep one put together of them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_DECODERS } from "../../support/tiny-models.ts";
import { configOf, logitsOf, mergedBy, network, valuesOf } from "./networks.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();
const decoder = (layers: number, more: Record<string, unknown> = {}) => ({
  ...{ model_type: "llama", hidden_size: 16, intermediate_size: 12, num_hidden_layers: layers, num_attention_heads: 2 },
  ...{ vocab_size: 50, max_position_embeddings: 64, initializer_range: 0.3, ...more },
});
const [meta, deep] = [await network(gpu, decoder(4), 1, "meta"), await network(gpu, decoder(8), 2, "deep")];

const incubate = async (stage: number, values: Record<string, string> = {}, from = deep) => {
  const { checkpoint } = await mergedBy(gpu, "incubate", {
    models: [from],
    base: meta,
    values: { stage: `${stage}`, ...values },
  });
  return { ...checkpoint, ref: `stage${stage}` };
};

/** Which block of which network every block of a checkpoint is. */
async function blocksOf(checkpoint: Checkpoint): Promise<string[]> {
  const part = "mlp.up_proj.weight";
  const known = new Map<string, string>();
  for (const model of [meta, deep])
    for (let layer = 0; model.tensors.has(`model.layers.${layer}.${part}`); layer++)
      known.set(`${await valuesOf(model.tensors.get(`model.layers.${layer}.${part}`)!)}`, `${model.ref} ${layer}`);
  const found: string[] = [];
  for (let layer = 0; checkpoint.tensors.has(`model.layers.${layer}.${part}`); layer++)
    found.push(known.get(`${await valuesOf(checkpoint.tensors.get(`model.layers.${layer}.${part}`)!)}`) ?? "none");
  return found;
}

test("a stage stands between the blocks of the shallow network, whose tables and head it has", async () => {
  const second = await incubate(2);
  expect(await blocksOf(second)).toEqual(["meta 0", "deep 2", "deep 3", "meta 2", "meta 3"]);
  expect(configOf(second).num_hidden_layers).toBe(5);
  for (const name of ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"])
    expect([name, await valuesOf(second.tensors.get(name)!)]).toEqual([name, await valuesOf(meta.tensors.get(name)!)]);
  expect((await logitsOf(gpu, second)).every(Number.isFinite)).toBe(true);
  expect(await blocksOf(await incubate(1, { divide: "2" }))).toEqual([
    "deep 0",
    "deep 1",
    "deep 2",
    "deep 3",
    "meta 2",
    "meta 3",
  ]);
});

test("stages put together are the deep network, with the shallow one's tables and head", async () => {
  const stages = await Promise.all([1, 2, 3, 4].map((stage) => incubate(stage)));
  const { checkpoint } = await mergedBy(gpu, "assemble", { models: stages, base: meta });
  expect(await blocksOf(checkpoint)).toEqual(Array.from({ length: 8 }, (_, layer) => `deep ${layer}`));
  expect(configOf(checkpoint).num_hidden_layers).toBe(8);
  expect(await valuesOf(checkpoint.tensors.get("lm_head.weight")!)).toEqual(
    await valuesOf(meta.tensors.get("lm_head.weight")!),
  );
  expect((await logitsOf(gpu, checkpoint)).every(Number.isFinite)).toBe(true);
});

test("the shallow network's own stages put together are the shallow network", async () => {
  const own = await Promise.all([1, 2, 3, 4].map((stage) => incubate(stage, {}, { ...meta, ref: "own" })));
  const { checkpoint } = await mergedBy(gpu, "assemble", { models: own, base: meta });
  expect([...checkpoint.tensors.keys()]).toEqual([...meta.tensors.keys()]);
  for (const [name, entry] of meta.tensors)
    expect([name, await valuesOf(checkpoint.tensors.get(name)!)]).toEqual([name, await valuesOf(entry)]);
  expect(configOf(checkpoint)).toEqual(configOf(meta));
});

test("stages that do not divide, of another size, or whose number says what a block is, are refused by name", async () => {
  await expect(incubate(5)).rejects.toThrow("there is no stage 5 of 4");
  await expect(incubate(1, { divide: "3" })).rejects.toThrow("deep has 8 blocks, which 3 stages do not divide");
  const wide = await network(gpu, decoder(8, { intermediate_size: 20 }), 3, "wide");
  await expect(incubate(1, {}, wide)).rejects.toThrow(
    /model.layers.0.mlp.gate_proj.weight of meta is \(12, 16\)|and \(20, 16\)/,
  );
  const stages = [await incubate(1), { ...(await network(gpu, decoder(2), 4)), ref: "short" }];
  await expect(
    mergedBy(gpu, "assemble", { models: [...stages, ...stages.map((s, i) => ({ ...s, ref: `m${i}x` }))], base: meta }),
  ).rejects.toThrow("short has 2 blocks, fewer than 3 of the base and one of its own");
  const mixed = await network(gpu, TINY_DECODERS.olmo3!, 1, "mixed");
  await expect(
    mergedBy(gpu, "incubate", {
      models: [mixed],
      base: { ...mixed, ref: "base" },
      values: { stage: "1", divide: "1" },
    }),
  ).rejects.toThrow("model_type olmo3 of mixed says by its number what a block is");
});
