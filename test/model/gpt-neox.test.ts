/**
 * GPT-NeoX from config to file, adapter and back, and the published Pythia models. What it computes is held against
 * float64 in architectures.test.ts, decoding with the cache in run/generating.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { logitsOf } from "../golden/formats/train.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { normals } from "../support/random.ts";
import { TINY_NEOX } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-neox-"));
afterAll(() => rmSync(made, { recursive: true }));

const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3, 3, 8, 12);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });

/** A model whose norms and biases are no ones and zeros. */
async function fresh(json: Json): Promise<Model> {
  const model = await Model.fresh(gpu, json, "m", { seed: 4 });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
  return model;
}

const filesOf = (json: Json) => new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);

describe.each(Object.keys(TINY_NEOX))("%s", (name) => {
  const json = TINY_NEOX[name]!;

  test("what is written of a new model says what was read, keys left out included", async () => {
    const { architecture, config } = await describeConfig(json, "m");
    const { rope, ...read } = config as { rope: unknown };
    const again = (await describeConfig({ ...json, ...architecture.implied!(config) }, "m")).config as typeof read;
    expect(again).toEqual({ rope, ...read } as typeof read);
  });

  test("saved in shards and loaded it gives the same logits", async () => {
    const model = await fresh(json);
    const wanted = await logitsOf(gpu, model, BATCH);
    const target = join(made, "sharded");
    await saveModel(model, `${target}/`, { files: filesOf(json), lineage: [], shards: 3 });
    model.free();
    const checkpoint = await open(target);
    const again = await Model.load(gpu, checkpoint);
    expect(await logitsOf(gpu, again, BATCH)).toEqual(wanted);
    again.free();
    checkpoint.close();
  });

  test.each([false, true])("an adapter of all linear layers merges to what it computed (dora %p)", async (dora) => {
    const base = join(made, "base");
    const model = await fresh(json);
    await saveModel(model, `${base}/`, { files: filesOf(json), lineage: [] });
    model.free();
    const checkpoint = await open(base);
    const lora = { rank: 3, alpha: 6, seed: 1, dora } as const;
    const adapted = await Model.load(gpu, checkpoint, { lora });
    const entries = [...loraOf(adapted).entries];
    expect(entries.map(([module]) => module)).toEqual(
      [0, 1].flatMap((layer) =>
        ["attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"].map(
          (module) => `gpt_neox.layers.${layer}.${module}`,
        ),
      ),
    );
    for (const [i, [, { b }]] of entries.entries()) b.write(normals(i, b.size, 0.1));
    const wanted = await logitsOf(gpu, adapted, BATCH);
    await saveModel(adapted, `${base}-adapter/`, { files: filesOf(json), lineage: [] });
    const config = JSON.parse(readFileSync(`${base}-adapter/adapter_config.json`, "utf8"));
    expect(config.target_modules).toEqual(["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]);
    adapted.free();
    const adapter = await openPlain(`${base}-adapter`);
    const merged = await Model.load(gpu, await applyAdapter(checkpoint, adapter));
    const found = await logitsOf(gpu, merged, BATCH);
    const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
    for (const [i, x] of found.entries()) expect(Math.abs(x - wanted[i]!) / most).toBeLessThan(1e-5);
    merged.free();
    adapter.close();
    checkpoint.close();
  });
});

test("names and shapes are those of transformers", async () => {
  const model = await fresh(TINY_NEOX.gpt_neox!);
  const layer = (i: number) => [
    ...["input_layernorm", "post_attention_layernorm"].flatMap((norm) => [
      `gpt_neox.layers.${i}.${norm}.weight 24`,
      `gpt_neox.layers.${i}.${norm}.bias 24`,
    ]),
    `gpt_neox.layers.${i}.attention.query_key_value.weight 72x24`,
    `gpt_neox.layers.${i}.attention.query_key_value.bias 72`,
    `gpt_neox.layers.${i}.attention.dense.weight 24x24`,
    `gpt_neox.layers.${i}.attention.dense.bias 24`,
    `gpt_neox.layers.${i}.mlp.dense_h_to_4h.weight 40x24`,
    `gpt_neox.layers.${i}.mlp.dense_h_to_4h.bias 40`,
    `gpt_neox.layers.${i}.mlp.dense_4h_to_h.weight 24x40`,
    `gpt_neox.layers.${i}.mlp.dense_4h_to_h.bias 24`,
  ];
  expect(model.stored.map(({ name, shape }) => `${name} ${shape.join("x")}`)).toEqual([
    "gpt_neox.embed_in.weight 50x24",
    ...layer(0),
    ...layer(1),
    "gpt_neox.final_layer_norm.weight 24",
    "gpt_neox.final_layer_norm.bias 24",
    "embed_out.weight 50x24",
  ]);
  model.free();
});

/** Puts further tensors, of zeros, at the end of a safetensors file. */
function addZeros(file: string, tensors: Readonly<Record<string, { dtype: string; shape: number[]; bytes: number }>>) {
  const bytes = readFileSync(file);
  const size = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, 8 + size).toString());
  const data = bytes.subarray(8 + size);
  let end = data.length;
  for (const [name, { dtype, shape, bytes: count }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + count] };
    end += count;
  }
  const text = JSON.stringify(header);
  const whole = Buffer.alloc(8 + text.length + end);
  whole.writeBigUInt64LE(BigInt(text.length));
  whole.write(text, 8);
  data.copy(whole, 8 + text.length);
  writeFileSync(file, whole);
}

test("masks and frequencies of published files are left out, with a word", async () => {
  const json = TINY_NEOX.gpt_neox!;
  const model = await fresh(json);
  const wanted = await logitsOf(gpu, model, BATCH);
  await saveModel(model, join(made, "published.safetensors"), { files: filesOf(json), lineage: [] });
  model.free();
  addZeros(join(made, "published.safetensors"), {
    "gpt_neox.layers.0.attention.bias": { dtype: "BOOL", shape: [1, 1, 8, 8], bytes: 64 },
    "gpt_neox.layers.0.attention.masked_bias": { dtype: "F16", shape: [], bytes: 2 },
    "gpt_neox.layers.0.attention.rotary_emb.inv_freq": { dtype: "F16", shape: [1], bytes: 2 },
  });
  const checkpoint = await open(join(made, "published.safetensors"));
  const said: string[] = [];
  const again = await Model.load(gpu, checkpoint, { warn: (message) => said.push(message) });
  expect(said).toEqual([
    `${checkpoint.ref}: gpt_neox.layers.0.attention.bias and 2 others hold no weight that gpt_neox needs, and are left out`,
  ]);
  expect(await logitsOf(gpu, again, BATCH)).toEqual(wanted);
  again.free();
  checkpoint.close();
});

/** Width, layers, heads, vocabulary and parameters of the published models. */
const PYTHIA: readonly (readonly [string, number, number, number, number, number])[] = [
  ["70m", 512, 6, 8, 50_304, 70_426_624],
  ["160m", 768, 12, 12, 50_304, 162_322_944],
  ["410m", 1024, 24, 16, 50_304, 405_334_016],
  ["1b", 2048, 16, 8, 50_304, 1_011_781_632],
  ["1.4b", 2048, 24, 16, 50_304, 1_414_647_808],
  ["2.8b", 2560, 32, 32, 50_304, 2_775_208_960],
  ["6.9b", 4096, 32, 32, 50_432, 6_857_302_016],
  ["12b", 5120, 36, 40, 50_688, 11_846_072_320],
];

const pythia = (hidden_size: number, layers: number, heads: number, vocab_size: number): Json => ({
  ...{ architectures: ["GPTNeoXForCausalLM"], bos_token_id: 0, eos_token_id: 0, hidden_act: "gelu", hidden_size },
  ...{ initializer_range: 0.02, intermediate_size: 4 * hidden_size, layer_norm_eps: 1e-5, model_type: "gpt_neox" },
  ...{ max_position_embeddings: 2048, num_attention_heads: heads, num_hidden_layers: layers, rotary_emb_base: 10_000 },
  ...{ rotary_pct: 0.25, tie_word_embeddings: false, torch_dtype: "float16", transformers_version: "4.24.0" },
  ...{ use_cache: true, use_parallel_residual: true, vocab_size },
});

test.each(PYTHIA)(
  "Pythia %s has as many parameters as published",
  async (_, width, layers, heads, vocabulary, count) => {
    const said: string[] = [];
    const json = pythia(width, layers, heads, vocabulary);
    const { architecture, config } = await describeConfig(json, "m", (remark) => said.push(remark));
    const sizes = architecture.parameters(config).map(({ shape }) => shape.reduce((a, b) => a * b, 1));
    expect(sizes.reduce((a, b) => a + b, 0)).toBe(count);
    expect(said).toEqual([]);
  },
);

test("--dry-run tells them", async () => {
  writeFileSync(join(made, "pythia-70m.json"), JSON.stringify(pythia(512, 6, 8, 50_304)));
  writeFileSync(join(made, "rows.jsonl"), '{"text": "to be or not to be"}\n');
  const argv = ["--init", "pythia-70m.json", "--tokenizer", "byte", "--data", "rows.jsonl", "--batch-size", "1"];
  const { code, text, err } = await runScript("train", [...argv, "--steps", "1", "--dry-run", "--json"], made);
  expect(code, err).toBe(0);
  expect(JSON.parse(text).parameters.total).toBe(70_426_624);
}, 120_000);
