/**
 * Dense decoders: configs in older and newer keys, and the way of every one from config to file, adapter and back. What
 * they compute is held against goldens (test/golden/train-next) and float64 (architectures.test.ts).
 */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import type { DecoderConfig } from "../../src/model/blocks/decoder-config.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { logitsOf } from "../golden/formats/train.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { normals } from "../support/random.ts";
import { TINY_DECODERS, TINY_EXPERTS } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-dense-"));
afterAll(() => rmSync(made, { recursive: true }));

const goldens = join(import.meta.dir, "../golden/train-next");
const variants = readdirSync(goldens).flatMap((name) =>
  ["config.v4.json", "config.v5-nested.json"]
    .filter((file) => existsSync(join(goldens, name, file)))
    .map((file) => [name, file] as const),
);

const readJson = (...parts: string[]): Promise<Json> => Bun.file(join(...parts)).json();

/** What is read of a config. Throws where something is left over. */
async function described(json: Json): Promise<DecoderConfig> {
  const unknown: string[] = [];
  const { config } = await describeConfig(json, "m", (remark) => unknown.push(remark));
  expect(unknown).toEqual([]);
  return config as DecoderConfig;
}

test.each(variants)("%s/%s describes the model of config.json", async (name, file) => {
  const newer = await described(await readJson(goldens, name, "config.json"));
  expect(await described(await readJson(goldens, name, file))).toEqual(newer);
});

test("so do all that a golden has", () => {
  expect(variants.length).toBeGreaterThan(17);
});

const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3, 3, 8, 12);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });

/** Names and shapes of a folder's tensors. */
const listed = (tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>) =>
  [...tensors].map(([name, { shape }]) => `${name} ${shape.join("x")}`).sort();

/** Architectures that transformers has not. */
const OURS = ["norm_decoder"];

const dense = Object.keys(TINY_DECODERS).filter((name) => TINY_DECODERS[name]!.num_experts_per_tok === undefined);

describe.each(dense)("%s", (name) => {
  const json = TINY_DECODERS[name]!;
  const fresh = async () => {
    const model = await Model.fresh(gpu, json, name, { seed: 4 });
    for (const [i, { parameter }] of model.stored.entries())
      if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
    return model;
  };
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);

  test("what is written of a new model says what was read, keys left out included", async () => {
    const { architecture, config } = await describeConfig(json, "m");
    const given = Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
    const implied = architecture.implied!(config);
    expect(await described({ ...json, ...implied })).toEqual(config as DecoderConfig);
    expect(await described({ ...implied, ...json, ...implied, ...given })).toEqual(config as DecoderConfig);
  });

  test("saved and loaded it gives the same logits, under the names of the goldens", async () => {
    const model = await fresh();
    const wanted = await logitsOf(gpu, model, BATCH);
    expect(wanted.every(Number.isFinite)).toBe(true);
    const target = join(made, name.replaceAll(" ", "-"));
    await saveModel(model, `${target}/`, { files, lineage: [] });
    model.free();
    const checkpoint = await open(target);
    const again = await Model.load(gpu, checkpoint);
    expect(await logitsOf(gpu, again, BATCH)).toEqual(wanted);
    again.free();
    if (OURS.includes(String(json.model_type))) {
      checkpoint.close();
      return;
    }
    const golden = await openPlain(join(goldens, json.model_type as string));
    // Biases that a golden lacks are those that this config asks for.
    const kinds = (tensors: Iterable<string>) =>
      new Set(
        [...tensors].map((key) => key.replace(/\.\d+\./, ".N.")).filter((key) => !/(bias|lm_head\.weight)$/.test(key)),
      );
    expect(kinds(checkpoint.tensors.keys())).toEqual(kinds(golden.tensors.keys()));
    golden.close();
    checkpoint.close();
  });

  test("an adapter of all linear layers merges to what it computed", async () => {
    const base = join(made, `${name.replaceAll(" ", "-")}-base`);
    const model = await fresh();
    await saveModel(model, `${base}/`, { files, lineage: [] });
    const linears = [...model.parameters.values()].filter(({ name }) => /_proj\.weight$/.test(name)).length;
    model.free();
    const checkpoint = await open(base);
    const lora = { rank: 3, alpha: 6, seed: 1 } as const;
    const adapted = await Model.load(gpu, checkpoint, { lora });
    const entries = [...loraOf(adapted).entries.values()];
    expect(entries.length).toBe(linears);
    for (const [i, { b }] of entries.entries()) b.write(normals(i, b.size, 0.1));
    const wanted = await logitsOf(gpu, adapted, BATCH);
    await saveModel(adapted, `${base}-adapter/`, { files, lineage: [] });
    adapted.free();
    const adapter = await openPlain(`${base}-adapter`);
    expect(listed(adapter.tensors).length).toBe(2 * linears);
    const merged = await Model.load(gpu, await applyAdapter(checkpoint, adapter));
    const found = await logitsOf(gpu, merged, BATCH);
    const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
    for (const [i, x] of found.entries()) expect(Math.abs(x - wanted[i]!) / most).toBeLessThan(1e-5);
    merged.free();
    adapter.close();
    checkpoint.close();
  });
});

/** Models with experts, and the golden whose names theirs are. */
const SPARSE: readonly (readonly [string, Json])[] = Object.entries({ ...TINY_DECODERS, ...TINY_EXPERTS }).filter(
  ([, { num_experts_per_tok }]) => num_experts_per_tok !== undefined,
);

test.each(SPARSE)("%s, saved in shards and loaded it gives the same logits", async (name, json) => {
  const model = await Model.fresh(gpu, json, name, { seed: 4 });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
  const wanted = await logitsOf(gpu, model, BATCH);
  const target = join(made, `${name.replaceAll(" ", "-")}-sparse`);
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, `${target}/`, { files, lineage: [], shards: 3 });
  model.free();
  expect(readdirSync(target).filter((file) => file.endsWith(".safetensors")).length).toBe(3);
  const checkpoint = await open(target);
  const again = await Model.load(gpu, checkpoint);
  expect(await logitsOf(gpu, again, BATCH)).toEqual(wanted);
  again.free();
  const folder = join(goldens, json.model_type as string);
  if (existsSync(folder)) {
    const golden = await openPlain(folder);
    const kinds = (tensors: Iterable<string>) =>
      new Set(
        [...tensors].map((key) => key.replace(/\.\d+\./g, ".N.")).filter((key) => !/(bias|lm_head\.weight)$/.test(key)),
      );
    // Dense layers and paths of the query that one config has and the other lacks.
    const odd = kinds(checkpoint.tensors.keys()).symmetricDifference(kinds(golden.tensors.keys()));
    expect(
      [...odd].filter(
        (key) => !/mlp\.(gate|up|down)_proj|q_(a|b)?_?(proj|layernorm)|shared_expert|_norm\.weight/.test(key),
      ),
    ).toEqual([]);
    golden.close();
  }
  checkpoint.close();
});

/** Width, inner width, layers, heads, key heads, vocabulary, and what else the published config says. */
const PUBLISHED: readonly (readonly [string, string, readonly number[], Json, number])[] = [
  ["Gemma 2 2B", "gemma2", [2304, 9216, 26, 8, 4, 256_000], {}, 2_614_341_888],
  ["Gemma 3 1B", "gemma3_text", [1152, 6912, 26, 4, 1, 262_144], {}, 999_885_952],
  ["Phi-4-mini", "phi3", [3072, 8192, 32, 24, 8, 200_064], { tie_word_embeddings: true }, 3_836_021_760],
  ["Phi-4", "phi3", [5120, 17_920, 40, 40, 10, 100_352], {}, 14_659_507_200],
  ["OLMo 2 7B", "olmo2", [4096, 11_008, 32, 32, 32, 100_352], {}, 7_298_617_344],
  ["GLM-4 9B", "glm4", [4096, 13_696, 40, 32, 2, 151_552], {}, 9_400_279_040],
  ["Granite 3.3 8B", "granite", [4096, 12_800, 40, 32, 8, 49_159], { tie_word_embeddings: true }, 8_170_864_640],
  ["SmolLM3 3B", "smollm3", [2048, 11_008, 36, 16, 4, 128_256], {}, 3_075_098_624],
  ["Command R7B", "cohere2", [4096, 14_336, 32, 32, 8, 256_000], {}, 8_028_033_024],
  [
    "DeepSeek-MoE 16B",
    "deepseek",
    [2048, 10_944, 28, 16, 16, 102_400],
    {
      ...{ n_routed_experts: 64, n_shared_experts: 2, num_experts_per_tok: 6 },
      ...{ moe_intermediate_size: 1408, first_k_dense_replace: 1 },
    },
    16_375_728_128,
  ],
  ["Seed-OSS 36B", "seed_oss", [5120, 27_648, 64, 80, 8, 155_136], {}, 36_151_104_512],
  ["EXAONE 4.0 32B", "exaone4", [5120, 27_392, 64, 40, 8, 102_400], { head_dim: 128 }, 32_003_216_384],
];

test.each(PUBLISHED)("%s has as many parameters as published", async (_, type, sizes, more, count) => {
  const [hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, vocab_size] =
    sizes;
  const { architecture, config } = await describeConfig(
    {
      model_type: type,
      ...{ hidden_size, intermediate_size, num_hidden_layers },
      ...{ num_attention_heads, num_key_value_heads, vocab_size },
      ...more,
    },
    "m",
  );
  const total = architecture.parameters(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  expect(total).toBe(count);
});
