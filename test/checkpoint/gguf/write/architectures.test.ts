/** Every architecture that is written: names, shapes, values and config come back, and another reader finds them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gguf } from "@huggingface/gguf";
import { decodeFloats } from "../../../../src/checkpoint/decode.ts";
import { GGUF_MODEL_TYPES } from "../../../../src/checkpoint/gguf/architectures.ts";
import { open } from "../../../../src/checkpoint/open.ts";
import { loadMethod } from "../../../../src/method/registry.ts";
import type { Json } from "../../../../src/model/architecture.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../../../support/tiny-models.ts";
import { bytesOf } from "../../sample.ts";
import { jsonOf, sampleOf, write } from "./fixture.ts";

let top: string;
beforeAll(() => {
  top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-architectures-"));
});
afterAll(() => fs.rmSync(top, { recursive: true }));

const D = TINY_DECODERS;
const LLAMA3 = {
  rope_type: "llama3",
  factor: 4,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 16,
};

interface Case {
  config: Json;
  /** Names in the file of some tensors, with their sides (innermost first). */
  tensors: Record<string, number[]>;
  /** Keys of the file under the architecture's name. */
  keys: Record<string, unknown>;
  name: string;
  /** `model_type` that comes back, where it is another. */
  type?: string;
}

const CASES: Record<string, Case> = {
  mixtral: {
    name: "llama",
    config: { ...TINY_EXPERTS.mixtral!, num_attention_heads: 4, num_key_value_heads: 2 },
    tensors: { "blk.1.ffn_gate_inp.weight": [24, 4], "blk.0.ffn_down_exps.weight": [40, 24, 4] },
    keys: { expert_count: 4, expert_used_count: 2 },
  },
  qwen2_moe: {
    name: "qwen2moe",
    config: TINY_EXPERTS.qwen2_moe!,
    tensors: {
      "blk.0.ffn_up_exps.weight": [24, 12, 5],
      "blk.0.ffn_gate_inp_shexp.weight": [24, 1],
      "blk.1.ffn_down_shexp.weight": [20, 24],
      "blk.0.attn_q.bias": [24],
    },
    keys: { expert_feed_forward_length: 12, expert_shared_feed_forward_length: 20 },
  },
  "qwen3_moe as transformers 5 counts its experts": {
    name: "qwen3moe",
    config: {
      ...TINY_TEXT.qwen3!,
      ...{ model_type: "qwen3_moe", num_local_experts: 3, num_experts_per_tok: 2, moe_intermediate_size: 12 },
      ...{ norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [] },
    },
    tensors: { "blk.0.ffn_down_exps.weight": [12, 24, 3] },
    keys: { expert_count: 3 },
  },
  olmoe: {
    name: "olmoe",
    config: TINY_EXPERTS.olmoe!,
    tensors: { "blk.0.attn_q_norm.weight": [24], "blk.0.ffn_gate_exps.weight": [24, 40, 3] },
    keys: { expert_count: 3, expert_used_count: 1 },
  },
  olmo2: {
    name: "olmo2",
    config: { ...D.olmo2!, attention_bias: false },
    tensors: { "blk.0.post_attention_norm.weight": [24], "blk.0.post_ffw_norm.weight": [24] },
    keys: {},
  },
  olmo3: {
    name: "olmo2",
    config: D.olmo3!,
    tensors: { "blk.3.attn_k_norm.weight": [8] },
    keys: {
      "attention.sliding_window": 3,
      "attention.sliding_window_pattern": [true, true, true, false],
      "rope.scaling.type": "yarn",
      "rope.scaling.factor": 4,
      "rope.scaling.original_context_length": 16,
    },
  },
  gemma2: {
    name: "gemma2",
    config: { ...D.gemma2!, query_pre_attn_scalar: 6, torch_dtype: "bfloat16" },
    tensors: { "blk.0.ffn_norm.weight": [24], "blk.0.post_ffw_norm.weight": [24] },
    keys: {
      attn_logit_softcapping: 3,
      final_logit_softcapping: 4,
      "attention.key_length": 6,
      "attention.value_length": 6,
      "attention.sliding_window": 5,
    },
  },
  gemma3_text: {
    name: "gemma3",
    config: {
      ...D.gemma3_text!,
      num_hidden_layers: 7,
      sliding_window_pattern: 6,
      query_pre_attn_scalar: 10,
      rope_local_base_freq: 10_000,
      torch_dtype: "bfloat16",
    },
    tensors: { "blk.6.attn_q_norm.weight": [10] },
    keys: {
      "rope.freq_base": 1e5,
      "rope.freq_base_swa": 10_000,
      "rope.scaling.type": "linear",
      "rope.scaling.factor": 8,
    },
  },
  phi3: {
    name: "phi3",
    config: { ...D.phi3!, sliding_window: null },
    tensors: { "blk.0.attn_qkv.weight": [24, 40], "blk.1.ffn_up.weight": [24, 80] },
    keys: { "attention.sliding_window": 0, "rope.dimension_count": 8 },
  },
  "phi3 with longrope in a part of a head": {
    name: "phi3",
    config: { ...D["phi3 with longrope in a part of a head"]!, num_attention_heads: 3 },
    tensors: { "rope_factors_long.weight": [3], "rope_factors_short.weight": [3] },
    keys: {
      "rope.dimension_count": 6,
      "rope.scaling.original_context_length": 10,
      "rope.scaling.attn_factor": Math.fround(Math.sqrt(1 + Math.log(6.4) / Math.log(10))),
    },
  },
  granite: {
    name: "granite",
    config: { ...D.granite!, rope_scaling: LLAMA3 },
    tensors: { "rope_freqs.weight": [4], "blk.0.attn_output.bias": [24] },
    keys: {
      embedding_scale: 3,
      "attention.scale": Math.fround(0.2),
      residual_scale: Math.fround(0.4),
      logit_scale: 2.5,
    },
  },
  smollm3: {
    name: "smollm3",
    config: { ...D.smollm3!, num_hidden_layers: 5, no_rope_layers: [1, 1, 1, 0, 1], use_sliding_window: false },
    tensors: { "blk.4.attn_q.weight": [24, 24] },
    keys: { "rope.dimension_count": 8, "rope.freq_base": 2e6 },
  },
  glm4: {
    name: "glm4",
    config: { ...D.glm4!, attention_bias: true },
    tensors: {
      "blk.0.post_attention_norm.weight": [24],
      "blk.0.ffn_norm.weight": [24],
      "blk.0.ffn_up.weight": [24, 80],
      "blk.0.attn_v.bias": [24],
    },
    keys: { "rope.dimension_count": 4, "attention.key_length": 8 },
  },
  seed_oss: {
    name: "seed_oss",
    config: { ...D.seed_oss!, attention_out_bias: false },
    tensors: { "blk.0.post_attention_norm.weight": [24], "blk.0.attn_k.bias": [30] },
    keys: { "attention.key_length": 10 },
  },
  cohere2: {
    name: "cohere2",
    config: { ...D.cohere2!, num_hidden_layers: 4, sliding_window_pattern: 4, attention_bias: false },
    tensors: { "blk.0.attn_norm.weight": [24] },
    keys: {
      logit_scale: 0.25,
      "attention.sliding_window": 4,
      "attention.layer_norm_epsilon": Math.fround(1e-5),
    },
  },
  exaone4: {
    name: "exaone4",
    config: { ...D["exaone4 without a window"]!, rope_scaling: LLAMA3 },
    tensors: { "rope_freqs.weight": [4], "blk.1.post_ffw_norm.weight": [24] },
    keys: {},
  },
  "exaone4 of 64 layers": {
    name: "exaone4",
    config: { ...D.exaone4!, num_hidden_layers: 64, sliding_window_pattern: "LLLG", head_dim: 2, intermediate_size: 4 },
    tensors: { "blk.63.attn_q_norm.weight": [2] },
    keys: {
      "attention.sliding_window": 4,
      "attention.sliding_window_pattern": Array.from({ length: 64 }, (_, layer) => layer % 4 !== 3),
    },
  },
  hunyuan_v1_dense: {
    name: "hunyuan-dense",
    config: D.hunyuan_v1_dense!,
    tensors: { "blk.0.attn_q_norm.weight": [10] },
    keys: { "rope.freq_base": Math.fround(10_000 * 100 ** (10 / 8)) },
  },
};

/** What is not in a GGUF file; `theta` is in the frequencies that come of it. */
const APART = new Set(["std", "keys", "padding", "theta"]);

/** A config as the model reads it, numbers to six digits. */
async function understood(json: Json): Promise<unknown> {
  const architecture = await loadMethod("architecture", String(json.model_type));
  const rounded = (key: string, value: unknown) => {
    if (APART.has(key)) return undefined;
    return typeof value === "number" ? Number(value.toPrecision(6)) : value;
  };
  return JSON.parse(JSON.stringify(architecture.config(json, "config.json"), rounded));
}

const cases = Object.entries(CASES);

test("there is a case of every type that is written", () => {
  const types = [...cases.map(([, { config }]) => config), ...Object.values(TINY_TEXT)].map((one) => one.model_type);
  expect(GGUF_MODEL_TYPES.filter((type) => !types.includes(type))).toEqual([]);
});

test("docs/formats.md lists every type that is written", () => {
  const page = fs.readFileSync(path.join(import.meta.dir, "../../../../docs/formats.md"), "utf8");
  const [, list] = /same names, shapes, values and config:\n\n([\s\S]*?)\n\n/.exec(page)!;
  expect(
    list!
      .split(",")
      .map((name) => name.trim())
      .sort(),
  ).toEqual([...GGUF_MODEL_TYPES].sort());
});

describe.each(cases)("%s", (label, { config, tensors, keys, name }) => {
  const file = () => path.join(top, `${label}.gguf`);

  test("comes back with its names, shapes, values and config", async () => {
    const sample = await sampleOf(config);
    const said = await write(sample, file());
    expect(said.filter((text) => !/no tokenizer/.test(text))).toEqual([]);
    const checkpoint = await open(file());
    expect([...checkpoint.tensors.keys()].sort()).toEqual(sample.tensors.map((one) => one.name).sort());
    const gains = /^gemma/.test(label);
    for (const { name: tensor, shape, dtype, data } of sample.tensors) {
      const entry = checkpoint.tensors.get(tensor)!;
      const [back, wanted] = [decodeFloats(await bytesOf(entry), entry.dtype), decodeFloats(data, dtype)];
      // A gain is stored as 1 + w, of whose sum 24 bits are kept.
      const most = gains && /norm/.test(tensor) ? 2 ** -23 : 0;
      const worst = wanted.reduce((all, x, i) => Math.max(all, Math.abs(x - back[i]!)), 0);
      expect([tensor, entry.shape, back.length, worst <= most]).toEqual([tensor, shape, wanted.length, true]);
    }
    expect(await understood(jsonOf(checkpoint))).toEqual(await understood(config));
    checkpoint.close();
  });

  test("Hugging Face's reader finds llama.cpp's names and keys", async () => {
    await write(await sampleOf(config), file());
    const { metadata, tensorInfos } = await gguf(file(), { allowLocalFile: true });
    const found = new Map(tensorInfos.map((one) => [one.name, one.shape.map(Number)]));
    for (const [tensor, sides] of Object.entries(tensors)) expect([tensor, found.get(tensor)]).toEqual([tensor, sides]);
    const wanted = Object.fromEntries(Object.entries(keys).map(([key, value]) => [`${name}.${key}`, value]));
    expect(metadata).toMatchObject({ "general.architecture": name, ...wanted } as object);
  });
});

test("norms of a Gemma are stored as the gains that they are", async () => {
  const sample = await sampleOf(CASES.gemma2!.config, "F32");
  const file = path.join(top, "gain.gguf");
  await write(sample, file);
  const { tensorInfos, tensorDataOffset } = await gguf(file, { allowLocalFile: true });
  const info = tensorInfos.find((one) => one.name === "blk.0.attn_norm.weight")!;
  const begin = Number(tensorDataOffset + info.offset);
  const stored = new Float32Array(Uint8Array.from(fs.readFileSync(file).subarray(begin, begin + 96)).buffer);
  const plain = decodeFloats(
    sample.tensors.find((one) => one.name === "model.layers.0.input_layernorm.weight")!.data,
    "F32",
  );
  expect([...stored]).toEqual([...plain].map((x) => Math.fround(1 + x)));
});

describe("what llama.cpp would take otherwise is refused", () => {
  const refusals: [string, string, Json, RegExp][] = [
    ["another scale of queries", "gemma2", { query_pre_attn_scalar: 20 }, /scalar is 20, .* to be 6/],
    ["no caps", "gemma2", { final_logit_softcapping: null }, /final_logit_softcapping is null/],
    ["windows in other layers", "gemma2", { layer_types: ["full_attention", "full_attention"] }, /layer 0 sees all/],
    ["another local base", "gemma3_text", { rope_local_base_freq: 100 }, /rope_local_base_freq is 100/],
    ["layers without positions", "smollm3", { no_rope_layers: [1, 1, 1, 1, 1] }, /no_rope_layers has 1 for layer 3/],
    ["a window of few layers", "exaone4", { sliding_window: 4, sliding_window_pattern: 2 }, /layer 0 sees a window/],
    ["weights that sum to one", "olmoe", { norm_topk_prob: true }, /norm_topk_prob is true/],
    ["clipped values", "olmoe", { clip_qkv: 8 }, /clip_qkv is 8/],
    ["other factors", "phi3 with longrope in a part of a head", { partial_rotary_factor: 0.5 }, /long_factor has 3/],
    ["a part of a head", "granite", { partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0.5/],
    ["Llama 3's factors", "olmo2", { rope_scaling: LLAMA3 }, /rotary scaling llama3 has no form/],
    ["scaling by length", "hunyuan_v1_dense", { rope_scaling: { type: "dynamic", factor: 2 } }, /without alpha/],
  ];
  test.each(refusals)("%s: %s", async (_, label, more, message) => {
    const sample = await sampleOf(CASES[label]!.config);
    sample.files.set("config.json", new TextEncoder().encode(JSON.stringify({ ...CASES[label]!.config, ...more })));
    await expect(write(sample, path.join(top, "none.gguf"))).rejects.toThrow(message);
  });

  test("a bias that llama.cpp has no place for", async () => {
    const sample = await sampleOf(D.olmo2!);
    await expect(write(sample, path.join(top, "none.gguf"))).rejects.toThrow(/q_proj.bias has no place .* olmo2/);
  });
});
