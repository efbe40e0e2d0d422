/** What the checks find, each in a small model with that one fault. */
import { describe, expect, test } from "bun:test";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { checkHeaders, checkValues } from "../../src/inspect/check.ts";
import { emptyTally, type Tally } from "../../src/inspect/statistics.ts";
import { entryOf } from "../support/entry.ts";

const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 4,
  intermediate_size: 6,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 5,
  tie_word_embeddings: false,
};
const LAYER: Record<string, number[]> = {
  "self_attn.q_proj.weight": [4, 4],
  "self_attn.k_proj.weight": [2, 4],
  "mlp.up_proj.weight": [6, 4],
  "mlp.down_proj.weight": [4, 6],
  "input_layernorm.weight": [4],
};
const SOUND: Record<string, number[]> = {
  "model.embed_tokens.weight": [5, 4],
  ...Object.fromEntries([0, 1].flatMap((l) => Object.entries(LAYER).map(([n, s]) => [`model.layers.${l}.${n}`, s]))),
  "lm_head.weight": [5, 4],
};

function model(
  shapes: Record<string, number[]>,
  config: object | undefined = CONFIG,
  types: Record<string, Dtype> = {},
) {
  const entries = Object.entries(shapes).map(([name, shape]) =>
    entryOf(name, types[name] ?? "F32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1))),
  );
  return {
    ref: "m/",
    kind: "folder",
    tensors: new Map(entries.map((entry) => [entry.name, entry])),
    files: new Map(config ? [["config.json", new TextEncoder().encode(JSON.stringify(config))]] : []),
    lineage: [],
    headerSha256: "",
    close() {},
  } satisfies Checkpoint;
}

const found = (checkpoint: Checkpoint, index?: Parameters<typeof checkHeaders>[1]) =>
  checkHeaders(checkpoint, index).map(({ level, message }) => `${level}: ${message}`);

const without = (pattern: RegExp) => Object.fromEntries(Object.entries(SOUND).filter(([name]) => !pattern.test(name)));

describe("headers and config", () => {
  test("nothing in a sound model, nor in one without config", () => {
    expect(found(model(SOUND))).toEqual([]);
    expect(found(model(SOUND, undefined))).toEqual([]);
    expect(found(model(without(/lm_head/), { ...CONFIG, tie_word_embeddings: true }))).toEqual([]);
  });

  test.each([
    ["vocab_size 7, but model.embed_tokens.weight has 5 rows", { ...CONFIG, vocab_size: 7 }],
    ["vocab_size 7, but lm_head.weight has 5 rows", { ...CONFIG, vocab_size: 7 }],
    ["num_hidden_layers 3, but model.layers has 2 layers", { ...CONFIG, num_hidden_layers: 3 }],
    [
      "intermediate_size = 8, but model.layers.0.mlp.up_proj.weight, model.layers.0.mlp.down_proj.weight, model.layers.1.mlp.up_proj.weight and 1 more is (6, 4)",
      { ...CONFIG, intermediate_size: 8 },
    ],
    [
      "num_key_value_heads x head_dim = 4, but model.layers.0.self_attn.k_proj.weight, model.layers.1.self_attn.k_proj.weight is (2, 4)",
      { ...CONFIG, num_key_value_heads: 2 },
    ],
  ])("config.json says %s", (message, config) => {
    expect(found(model(SOUND, config))).toContain(`error: config.json says ${message}`);
  });

  test("a head that is said to be there", () => {
    const message = "error: config.json says tie_word_embeddings false, but there is no head";
    expect(found(model(without(/lm_head/)))).toEqual([message]);
  });

  test("a layer missing in the middle", () => {
    const three = {
      ...SOUND,
      ...Object.fromEntries(Object.entries(LAYER).map(([n, s]) => [`model.layers.2.${n}`, s])),
    };
    const gap = Object.fromEntries(Object.entries(three).filter(([name]) => !name.includes("layers.1.")));
    expect(found(model(gap, { ...CONFIG, num_hidden_layers: 3 }))).toEqual(["error: model.layers lacks layer 1"]);
  });

  test("layers that predict further tokens are counted apart", () => {
    expect(found(model(SOUND, { ...CONFIG, num_hidden_layers: 1, num_nextn_predict_layers: 1 }))).toEqual([]);
  });

  test("mixed float types, and an index that counts otherwise", () => {
    expect(found(model(SOUND, CONFIG, { "lm_head.weight": "BF16" }))).toEqual([
      "warning: 1 of the float tensors are BF16 and 11 F32: lm_head.weight",
    ]);
    expect(found(model({ w: [2] }, undefined), { name: "i.json", shards: 2, totalSize: 9 })).toEqual([
      "warning: i.json says total_size 9, the tensors take 8 bytes",
    ]);
  });
});

test("values of config.json that no model can have", () => {
  expect(found(model(SOUND, { ...CONFIG, max_position_embeddings: 0 }))).toEqual([
    "error: config.json: max_position_embeddings must be a positive whole number; it is 0",
  ]);
});

test("values: NaN and infinities by tensor, zeros gathered", () => {
  const entry = (name: string, shape: number[]) => entryOf(name, "F32", shape, new Float32Array(6));
  const of = (tally: Partial<Tally>): Tally => ({ ...emptyTally(), values: 6, ...tally });
  const tallies = new Map([
    ["a", { entry: entry("a", [6]), tally: of({ nan: 2 }) }],
    ["b", { entry: entry("b", [6]), tally: of({ inf: 1 }) }],
    ["c.weight", { entry: entry("c.weight", [2, 3]), tally: of({ zeros: 6 }) }],
    ["c.bias", { entry: entry("c.bias", [6]), tally: of({ zeros: 6 }) }],
    ["q.lora_B.weight", { entry: entry("q.lora_B.weight", [2, 3]), tally: of({ zeros: 6 }) }],
    ["d", { entry: entry("d", [2, 3]), tally: of({ zeros: 5 }) }],
  ]);
  expect(checkValues(tallies).map(({ level, message }) => `${level}: ${message}`)).toEqual([
    "error: a has 2 NaN among 6 values",
    "error: b has 1 infinity among 6 values",
    "error: all zero: c.weight",
    "warning: all zero: c.bias, q.lora_B.weight",
  ]);
});
