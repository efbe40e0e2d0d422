/**
 * Classifiers of texts from config to file, adapter and back, and the published models. What they compute is held
 * against float64 in architectures.test.ts.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../src/checkpoint/adapter/adapter.ts";
import { viewEntry } from "../../src/checkpoint/adapter/entries.ts";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { normals } from "../support/random.ts";
import { TINY_ENCODERS } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-encoders-"));
afterAll(() => rmSync(made, { recursive: true }));

const textOf = (ids: readonly number[]) => ({
  tokens: { ids: Int32Array.from(ids), types: new Int32Array(ids.length) },
  label: 0,
});
const SHORT = textOf([2, 8, 9, 3]);
const LONG = textOf([2, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 3]);
const ROWS = [SHORT, LONG, textOf([2, 40, 41, 42, 43, 3])];

/** A model whose norms and biases are no ones and zeros. */
async function fresh(json: Json): Promise<Model> {
  const model = await Model.fresh(gpu, json, "m", { seed: 4 });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
  return model;
}

const filesOf = (json: Json) => new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);

/** Logits of every row, (rows, classes). */
async function logitsOf(model: Model, rows: Parameters<typeof stackExamples>[0]): Promise<number[][]> {
  const batch = stackExamples(rows);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { hidden, head } = model.record(rec, recordInputs(rec, batch));
  rec.output("logits", head(hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const logits = await program.read("logits");
  program.free();
  const { outputs } = model.sizes;
  return rows.map((_, i) => [...logits.subarray(i * outputs, (i + 1) * outputs)]);
}

const apart = (found: readonly number[][], wanted: readonly number[][]): number => {
  const most = Math.max(...wanted.flat().map(Math.abs));
  return Math.max(...wanted.flat().map((x, i) => Math.abs(x - found.flat()[i]!))) / most;
};

const TYPES = ["bert", "distilbert", "roberta", "xlm-roberta"];

describe.each(TYPES)("%s", (name) => {
  const json = TINY_ENCODERS[name]!;

  test("padding changes nothing of a row, nor do the rows beside it", async () => {
    const model = await fresh(json);
    const [alone] = await logitsOf(model, [SHORT]);
    const [padded, long] = await logitsOf(model, [SHORT, LONG]);
    expect(apart([padded!], [alone!])).toBeLessThan(1e-6);
    expect(apart([long!], await logitsOf(model, [LONG]))).toBeLessThan(1e-6);
    expect(apart([alone!], [long!])).toBeGreaterThan(1e-3);
    model.free();
  });

  test("the order of tokens matters, and later tokens are seen", async () => {
    const model = await fresh(json);
    const [one, other, last] = await logitsOf(
      model,
      [
        [2, 8, 9, 3],
        [2, 9, 8, 3],
        [2, 8, 9, 4],
      ].map(textOf),
    );
    expect(apart([other!], [one!])).toBeGreaterThan(1e-3);
    expect(apart([last!], [one!])).toBeGreaterThan(1e-3);
    model.free();
  });

  test("what is written of a new model says what was read, keys left out included", async () => {
    const { architecture, config } = await describeConfig(json, "m");
    const { num_labels: _, ...rest } = json;
    const again = await describeConfig({ ...rest, ...architecture.implied!(config) }, "m");
    expect(again.config).toEqual(config);
  });

  test("saved in shards and loaded it gives the same logits", async () => {
    const model = await fresh(json);
    const wanted = await logitsOf(model, ROWS);
    const target = join(made, `${name}-sharded`);
    await saveModel(model, `${target}/`, { files: filesOf(json), lineage: [], shards: 3 });
    model.free();
    const checkpoint = await open(target);
    const again = await Model.load(gpu, checkpoint);
    expect(await logitsOf(again, ROWS)).toEqual(wanted);
    again.free();
    checkpoint.close();
  });

  test("an adapter of all linear layers, with the head whole, merges to what it computed", async () => {
    const base = join(made, name);
    const model = await fresh(json);
    await saveModel(model, `${base}/`, { files: filesOf(json), lineage: [] });
    model.free();
    const checkpoint = await open(base);
    const lora = { rank: 3, alpha: 6, seed: 1 } as const;
    const adapted = await Model.load(gpu, checkpoint, { lora });
    const { entries, whole } = loraOf(adapted);
    const isHead = (key: string) => /^(pre_)?classifier\./.test(key);
    const matrices = [...adapted.parameters.keys()].filter(
      (key) => key.endsWith(".weight") && !/embeddings|[nN]orm/.test(key),
    );
    expect([...entries.keys()].map((key) => `${key}.weight`).sort()).toEqual(
      matrices.filter((key) => !isHead(key)).sort(),
    );
    expect([...whole.keys()].sort()).toEqual([...adapted.parameters.keys()].filter(isHead).sort());
    for (const [i, { b }] of [...entries.values()].entries()) b.write(normals(i, b.size, 0.1));
    for (const [i, parameter] of [...whole.values()].entries()) parameter.write(normals(50 + i, parameter.size, 0.3));
    expect(adapted.trainable().length).toBe(2 * entries.size + whole.size);
    const wanted = await logitsOf(adapted, ROWS);
    await saveModel(adapted, `${base}-adapter/`, { files: filesOf(json), lineage: [] });
    adapted.free();

    const config = JSON.parse(readFileSync(`${base}-adapter/adapter_config.json`, "utf8"));
    const modules = name === "distilbert" ? ["pre_classifier", "classifier"] : ["classifier"];
    expect([config.task_type, config.modules_to_save]).toEqual(["SEQ_CLS", modules]);
    const adapter = await openPlain(`${base}-adapter`);
    const saved = [...adapter.tensors.keys()].filter((key) => !/lora_[AB]/.test(key));
    expect(saved.sort()).toEqual([...whole.keys()].map((key) => `base_model.model.${key}`).sort());
    const merged = await Model.load(gpu, await applyAdapter(checkpoint, adapter));
    expect(apart(await logitsOf(merged, ROWS), wanted)).toBeLessThan(1e-5);
    merged.free();
    const continued = await Model.load(gpu, checkpoint, { lora: { ...lora, from: adapter } });
    expect(apart(await logitsOf(continued, ROWS), wanted)).toBeLessThan(1e-5);
    expect(continued.trainable().length).toBe(2 * entries.size + whole.size);
    continued.free();
    adapter.close();
    checkpoint.close();
  });
});

test("names and shapes of BERT are those of transformers", async () => {
  const model = await fresh(TINY_ENCODERS.bert!);
  const both = (module: string, out: number, into?: number) => [
    `${module}.weight ${into === undefined ? out : `${out}x${into}`}`,
    `${module}.bias ${out}`,
  ];
  const layer = (i: number) => {
    const at = `bert.encoder.layer.${i}`;
    return [
      ...["query", "key", "value"].flatMap((part) => both(`${at}.attention.self.${part}`, 24, 24)),
      ...both(`${at}.attention.output.dense`, 24, 24),
      ...both(`${at}.attention.output.LayerNorm`, 24),
      ...both(`${at}.intermediate.dense`, 40, 24),
      ...both(`${at}.output.dense`, 24, 40),
      ...both(`${at}.output.LayerNorm`, 24),
    ];
  };
  expect(model.stored.map(({ name, shape }) => `${name} ${shape.join("x")}`)).toEqual([
    "bert.embeddings.word_embeddings.weight 50x24",
    "bert.embeddings.position_embeddings.weight 32x24",
    "bert.embeddings.token_type_embeddings.weight 2x24",
    ...both("bert.embeddings.LayerNorm", 24),
    ...layer(0),
    ...layer(1),
    ...both("bert.pooler.dense", 24, 24),
    ...both("classifier", 3, 24),
  ]);
  model.free();
});

/** The checkpoint with other names for its tensors. */
function renamed(checkpoint: Checkpoint, rename: (name: string) => string): Checkpoint {
  const entries = [...checkpoint.tensors.values()].map((entry) => viewEntry(entry, { name: rename(entry.name) }));
  return { ...checkpoint, close: () => {}, tensors: new Map(entries.map((entry) => [entry.name, entry])) };
}

test("older names of norms, and a bare encoder's, are read", async () => {
  const model = await fresh(TINY_ENCODERS.bert!);
  const wanted = await logitsOf(model, ROWS);
  await saveModel(model, join(made, "named.safetensors"), { files: filesOf(TINY_ENCODERS.bert!), lineage: [] });
  model.free();
  const checkpoint = await open(join(made, "named.safetensors"));
  const older = (name: string) =>
    name.replace(/LayerNorm\.weight$/, "LayerNorm.gamma").replace(/LayerNorm\.bias$/, "LayerNorm.beta");
  for (const rename of [older, (name: string) => older(name).replace(/^bert\./, "")]) {
    const again = await Model.load(gpu, renamed(checkpoint, rename));
    expect(await logitsOf(again, ROWS)).toEqual(wanted);
    expect(again.stored.some(({ name }) => name.endsWith("LayerNorm.gamma"))).toBe(true);
    again.free();
  }
  checkpoint.close();
});

/** Published models, as their config.json has them, with two classes. */
const PUBLISHED: readonly (readonly [string, Json, number])[] = [
  [
    "bert-base-uncased",
    {
      ...{ model_type: "bert", vocab_size: 30_522, hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12 },
      ...{ intermediate_size: 3072, hidden_act: "gelu", hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1 },
      ...{ max_position_embeddings: 512, type_vocab_size: 2, initializer_range: 0.02, layer_norm_eps: 1e-12 },
      ...{ pad_token_id: 0, position_embedding_type: "absolute", gradient_checkpointing: false, use_cache: true },
    },
    109_483_778,
  ],
  [
    "distilbert-base-uncased",
    {
      ...{ model_type: "distilbert", vocab_size: 30_522, dim: 768, hidden_dim: 3072, n_layers: 6, n_heads: 12 },
      ...{ activation: "gelu", attention_dropout: 0.1, dropout: 0.1, initializer_range: 0.02, tie_weights_: true },
      ...{ max_position_embeddings: 512, pad_token_id: 0, qa_dropout: 0.1, seq_classif_dropout: 0.2 },
      ...{ sinusoidal_pos_embds: false },
    },
    66_955_010,
  ],
  [
    "roberta-base",
    {
      ...{
        model_type: "roberta",
        vocab_size: 50_265,
        hidden_size: 768,
        num_hidden_layers: 12,
        num_attention_heads: 12,
      },
      ...{ intermediate_size: 3072, hidden_act: "gelu", max_position_embeddings: 514, type_vocab_size: 1 },
      ...{ bos_token_id: 0, eos_token_id: 2, pad_token_id: 1, layer_norm_eps: 1e-5, initializer_range: 0.02 },
    },
    124_647_170,
  ],
  [
    "xlm-roberta-base",
    {
      ...{ model_type: "xlm-roberta", vocab_size: 250_002, hidden_size: 768, num_hidden_layers: 12 },
      ...{ num_attention_heads: 12, intermediate_size: 3072, max_position_embeddings: 514, type_vocab_size: 1 },
      ...{ layer_norm_eps: 1e-5, pad_token_id: 1, output_past: true, position_embedding_type: "absolute" },
    },
    278_045_186,
  ],
];

test.each(PUBLISHED)("%s has as many parameters as published, and 512 positions", async (_, json, count) => {
  const said: string[] = [];
  const { architecture, config, sizes } = await describeConfig(json, "m", (remark) => said.push(remark));
  const counts = architecture.parameters(config).map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  expect(counts.reduce((a, b) => a + b, 0)).toBe(count);
  expect([sizes.maxPositions, sizes.outputs]).toEqual([512, 2]);
  expect(said).toEqual([]);
});
