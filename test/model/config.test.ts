/** What config.json may say: tables from a config to the message it gives, or to what is read of it. */
import { describe, expect, test } from "bun:test";
import type { Json } from "../../src/model/architecture.ts";
import type { DecoderConfig } from "../../src/model/blocks/decoder-config.ts";
import { routerCoefficient, trainingRemarks } from "../../src/model/config-keys.ts";
import { describeConfig } from "../../src/model/description.ts";
import { HANG_MS } from "../support/hang.ts";
import { TINY_DECODERS, TINY_ENCODERS, TINY_EXAMPLES, TINY_NEOX, TINY_TEXT } from "../support/tiny-models.ts";

const MOE = {
  ...{ ...TINY_TEXT.qwen3!, model_type: "qwen3_moe", moe_intermediate_size: 8 },
  ...{ num_experts: 4, num_experts_per_tok: 2 },
};
const BASES: Readonly<Record<string, Json>> = {
  ...TINY_DECODERS,
  ...TINY_NEOX,
  ...TINY_ENCODERS,
  llama: TINY_TEXT.llama!,
  mistral: TINY_TEXT.mistral!,
  qwen2: TINY_TEXT.qwen2!,
  qwen3: TINY_TEXT.qwen3!,
  gpt2: TINY_TEXT.gpt2!,
  vit: TINY_EXAMPLES.vit!,
  mlp: TINY_EXAMPLES.mlp!,
  qwen3_moe: MOE,
  olmoe: { ...TINY_TEXT.llama!, model_type: "olmoe", num_experts: 4, num_experts_per_tok: 2 },
  mixtral: { ...TINY_TEXT.llama!, model_type: "mixtral", num_local_experts: 4 },
};

const read = async (base: string, more: Json) => {
  const remarks: string[] = [];
  const found = await describeConfig({ ...BASES[base]!, ...more }, "m", (remark) => remarks.push(remark));
  return { ...found, remarks };
};

describe("values out of range", () => {
  test.each([
    ["llama", { rope_theta: 0 }, "m: config.json: rope_theta must be a number above 0; it is 0"],
    ["llama", { rope_theta: -1e4 }, "rope_theta must be a number above 0; it is -10000"],
    [
      "mlp",
      { model_type: "mlp-experts", router_drop: 1 },
      "router_drop must be a number of at least 0 below 1; it is 1",
    ],
    ["llama", { rope_theta: "10000" }, 'rope_theta must be a number above 0; it is "10000"'],
    ["llama", { rope_theta: Number.POSITIVE_INFINITY }, "it is beyond every number (Infinity)"],
    ["llama", { rope_theta: Number.NaN }, "it is beyond every number (NaN)"],
    ["llama", { rope_theta: 1e39 }, "rope_theta must be a number above 0; it is 1e+39"],
    ["llama", { rope_parameters: { rope_type: "default", rope_theta: 0 } }, "rope_parameters.rope_theta must be"],
    ["llama", { rope_parameters: { rope_type: "default", rope_theta: "1" } }, "rope_parameters.rope_theta must be"],
    ["llama", { rope_scaling: { rope_type: "yarn", factor: -4 } }, "rope_scaling.factor must be a number above 0"],
    [
      "llama",
      { rope_theta: 1e-30, rope_scaling: { type: "linear", factor: 1e-30 } },
      "frequencies that are not finite",
    ],
    ["llama", { rms_norm_eps: -1e-5 }, "rms_norm_eps must be a number of at least 0; it is -0.00001"],
    ["llama", { rms_norm_eps: "1e-5" }, 'rms_norm_eps must be a number of at least 0; it is "1e-5"'],
    ["llama", { rms_norm_eps: Number.POSITIVE_INFINITY }, "rms_norm_eps must be a number of at least 0"],
    ["llama", { initializer_range: -1 }, "initializer_range must be a number of at least 0"],
    ["gpt2", { layer_norm_epsilon: -1 }, "layer_norm_epsilon must be a number of at least 0"],
    ["gpt2", { n_head: 7 }, "n_embd 24 is no multiple of the 7 heads of n_head"],
    ["llama", { head_dim: 514 }, "m: config.json: heads of 514 values; 512 are the most"],
    ["gpt2", { n_embd: 515, n_head: 1 }, "m: config.json: heads of 515 values; 512 are the most"],
    ["vit", { hidden_size: 516, num_attention_heads: 1 }, "m: config.json: heads of 516 values; 512 are the most"],
    ["vit", { layer_norm_eps: -1 }, "layer_norm_eps must be a number of at least 0"],
    ["llama", { num_hidden_layers: 1e9 }, "num_hidden_layers must be at most 1000; it is 1000000000"],
    ["llama", { num_hidden_layers: 2 ** 53 - 1 }, "num_hidden_layers must be at most 1000"],
    ["llama", { num_hidden_layers: 2 ** 53 }, "num_hidden_layers must be a positive whole number"],
    ["llama", { num_hidden_layers: 0 }, "num_hidden_layers must be a positive whole number; it is 0"],
    ["llama", { num_attention_heads: 1e9 }, "num_attention_heads must be at most 16777216"],
    ["llama", { num_attention_heads: 64 }, "64 heads (num_attention_heads) do not fit into hidden_size 24"],
    ["llama", { head_dim: 1e9 }, "head_dim must be at most 65536"],
    ["llama", { vocab_size: 2 ** 40 }, "vocab_size must be at most 16777216"],
    ["llama", { hidden_size: 1e12 }, "hidden_size must be at most 16777216"],
    ["llama", { max_position_embeddings: 2 ** 40 }, "max_position_embeddings must be at most 2147483647"],
    ["gpt2", { n_layer: 1e9 }, "n_layer must be at most 1000"],
    ["vit", { num_hidden_layers: 1e9 }, "num_hidden_layers must be at most 1000"],
    ["vit", { image_size: 1e9 }, "image_size must be at most 65536"],
    ["mlp", { hidden_sizes: [1e12] }, "hidden_sizes must be a list of whole numbers up to 16777216"],
    ["qwen3_moe", { num_experts: 1e9 }, "num_experts must be at most 10000"],
    ["qwen3_moe", { num_experts: 9999, num_hidden_layers: 999 }, "999 layers of 9999 experts are more than 200000"],
  ] as const)("%s %j", async (base, more, message) => {
    const before = performance.now();
    await expect(read(base, more)).rejects.toThrow(message);
    expect(performance.now() - before).toBeLessThan(HANG_MS);
  });
});

describe("keys that change the equations and are not read", () => {
  test.each([
    ["llama", { partial_rotary_factor: 0.5 }, "partial_rotary_factor must be 1"],
    [
      "llama",
      { rope_parameters: { rope_type: "default", partial_rotary_factor: 0.5 } },
      "partial_rotary_factor is 0.5; here all of a head is rotated",
    ],
    [
      "llama",
      { rope_parameters: { full_attention: { rope_type: "default" } } },
      "all layers share one rotary table here",
    ],
    [
      "llama",
      { clip_qkv: 8 },
      "m: config.json: clip_qkv is 8, which clips queries, keys and values; llama here does not",
    ],
    ["olmoe", { clip_qkv: 8 }, "clip_qkv must be null"],
    ["llama", { logit_scale: 0.0625 }, "logit_scale is 0.0625, which scales the logits"],
    ["llama", { logits_scaling: 8 }, "logits_scaling is 8"],
    ["llama", { attn_logit_softcapping: 50 }, "attn_logit_softcapping is 50, which caps the scores"],
    ["llama", { final_logit_softcapping: 30 }, "final_logit_softcapping is 30, which caps the logits"],
    ["llama", { attention_multiplier: 0.1 }, "attention_multiplier is 0.1, which scales the scores"],
    ["llama", { residual_multiplier: 0.2 }, "residual_multiplier is 0.2"],
    ["llama", { embedding_multiplier: 12 }, "embedding_multiplier is 12"],
    ["mixtral", { attention_bias: true }, "attention_bias is true, which adds biases to attention"],
    ["qwen3", { mlp_bias: true }, "mlp_bias is true"],
    ["llama", { no_rope_layers: [1, 0] }, "no_rope_layers is [1,0]"],
    ["llama", { use_sliding_window: true }, "use_sliding_window is true"],
    ["qwen3_moe", { use_sliding_window: true }, "use_sliding_window must be false"],
    ["qwen2", { use_sliding_window: true, sliding_window: 0 }, "sliding_window must be a positive whole number"],
    ["qwen2", { use_sliding_window: true, layer_types: ["full_attention"] }, "layer_types has 1 entries for 2 layers"],
    ["qwen3", { layer_types: ["full_attention", "sliding_attention"] }, 'layer_types has "sliding_attention"'],
    ["mistral", { layer_types: ["sliding_attention", "full_attention"] }, 'layer_types has "full_attention"'],
    ["qwen2", { use_mrope: true }, "use_mrope is true, which gives positions several parts"],
    ["llama", { is_encoder_decoder: true }, "is_encoder_decoder is true"],
    ["llama", { num_local_experts: 8 }, "num_local_experts is 8, which adds experts"],
    ["qwen3_moe", { n_shared_experts: 1 }, "n_shared_experts is 1"],
    ["qwen3_moe", { num_local_experts: 8 }, "num_experts must be 8, as num_local_experts is; it is 4"],
    ["llama", { rope_scaling: { rope_type: "dynamic", factor: 2, alpha: 1000 } }, "rope_scaling.alpha"],
    ["llama", { hidden_act: "gelu" }, 'hidden_act must be "silu"'],
    ["llama", { rope_parameters: { rope_type: "yarn", factor: 2, llama_4_scaling_beta: 0.1 } }, "llama_4_scaling_beta"],
    ["llama", { lm_head_bias: true }, "lm_head_bias is true, which adds a bias to the logits"],
    ["llama", { layer_types: "full_attention" }, "layer_types must be a list of words"],
    ["gemma2", { hidden_activation: "gelu" }, 'hidden_activation must be "gelu_pytorch_tanh" here; it is "gelu"'],
    ["gemma2", { attn_logit_softcapping: 0 }, "attn_logit_softcapping must be a number above 0; it is 0"],
    ["gemma2", { use_bidirectional_attention: true }, "use_bidirectional_attention is true"],
    ["gemma2", { layer_types: ["full_attention"] }, "layer_types has 1 entries for 2 layers (num_hidden_layers)"],
    ["gemma3_text", { layer_types: ["chunked_attention"] }, "layer_types must be a list of"],
    [
      "gemma3_text",
      { rope_parameters: { full_attention: {} }, rope_scaling: null },
      "has nothing of sliding_attention",
    ],
    ["phi3", { partial_rotary_factor: 1.5 }, "partial_rotary_factor 1.5 turns 12 of the 8 values of a head"],
    [
      "phi3",
      { rope_scaling: { type: "su", short_factor: [1] } },
      "rope_scaling.short_factor must be 4 numbers above 0",
    ],
    ["phi3", { attention_bias: true }, "attention_bias is true, which adds biases to attention"],
    ["granite", { residual_multiplier: -1 }, "residual_multiplier must be a number above 0"],
    ["granite", { logit_scale: 0.5 }, "logit_scale is 0.5"],
    ["smollm3", { no_rope_layers: [1] }, "no_rope_layers has 1 entries for 3 layers"],
    ["cohere2", { use_parallel_block: false }, "use_parallel_block must be true"],
    ["cohere2", { position_embedding_type: "alibi" }, 'position_embedding_type must be "rope_gptj"'],
    ["hunyuan_v1_dense", { use_qk_norm: false }, "use_qk_norm must be true"],
    ["olmo2", { clip_qkv: 8 }, "clip_qkv is 8"],
    ["exaone4", { attention_bias: true }, "attention_bias is true"],
    ["bert", { position_embedding_type: "relative_key" }, 'position_embedding_type must be "absolute" here'],
    ["bert", { is_decoder: true }, "is_decoder must be false here; it is true"],
    ["bert", { problem_type: "regression" }, 'problem_type must be "single_label_classification" here'],
    ["bert", { problem_type: "multi_label_classification" }, 'it is "multi_label_classification"'],
    ["bert", { num_labels: 1 }, "one label (num_labels, id2label) asks for a number"],
    ["bert", { id2label: { 0: "a", 1: "b" } }, "num_labels is 3, but id2label names 2 classes"],
    ["bert", { id2label: { 1: "a", 2: "b", 3: "c" } }, "id2label has the class 3 of 3"],
    ["bert", { id2label: { 0: "a", 1: "b", 2: "a" } }, 'id2label names two classes "a"'],
    ["bert", { hidden_act: "mish" }, 'hidden_act must be "gelu" or'],
    ["bert", { num_attention_heads: 5 }, "hidden_size 24 is no multiple of the 5 heads"],
    ["bert", { layer_norm_eps: -1 }, "layer_norm_eps must be a number of at least 0"],
    ["distilbert", { sinusoidal_pos_embds: true }, "sinusoidal_pos_embds must be false here"],
    ["distilbert", { n_heads: 5 }, "dim 24 is no multiple of the 5 heads of n_heads"],
    ["roberta", { max_position_embeddings: 2 }, "positions begin at 2 (pad_token_id + 1), but there are 2"],
    ["gpt_neox", { hidden_act: "relu" }, 'hidden_act must be "gelu" or "gelu_new" or "gelu_fast"'],
    ["gpt_neox", { rotary_pct: 0.5, partial_rotary_factor: 0.25 }, "rotary_pct is 0.5, but partial_rotary_factor is"],
    ["gpt_neox", { rotary_emb_base: 1e4, rope_theta: 1e5 }, "rotary_emb_base is 10000, but rope_theta is 100000"],
    ["gpt_neox", { rotary_pct: 0.01 }, "partial_rotary_factor 0.01 turns 0 of the 8 values of a head"],
    ["gpt_neox", { rotary_pct: 0.4 }, "heads of 3 values cannot be rotated in pairs"],
    ["gpt_neox", { num_attention_heads: 5 }, "hidden_size 24 is no multiple of the 5 heads"],
    ["gpt_neox", { layer_norm_eps: -1 }, "layer_norm_eps must be a number of at least 0"],
    ["glm", { rope_interleave: false, partial_rotary_factor: 0.01 }, "turns 0 of the 10 values"],
  ] as const)("%s %j", async (base, more, message) => {
    await expect(read(base, more)).rejects.toThrow(message);
  });

  test.each([
    ["llama", { logit_scale: 1, clip_qkv: null, attn_logit_softcapping: null, residual_multiplier: 1 }],
    ["llama", { layer_types: ["full_attention", "full_attention"], no_rope_layers: [1, 1], pretraining_tp: 2 }],
    ["mistral", { layer_types: ["sliding_attention", "sliding_attention"] }],
    ["qwen2", { sliding_window: 4096, max_window_layers: 1, use_sliding_window: false, attention_bias: false }],
    ["llama", { architectures: ["LlamaForCausalLM"], dtype: "float32", torch_dtype: "float32", use_cache: true }],
    ["llama", { bos_token_id: 1, eos_token_id: [2, 3], pad_token_id: null, transformers_version: "5.6.0" }],
    ["qwen2", { use_mrope: false, "transformers.js_config": {}, quantization: {} }],
    ["gemma2", { hidden_act: "gelu_pytorch_tanh", cache_implementation: "hybrid", attn_logit_softcapping: null }],
    ["phi3", { embd_pdrop: 0, interpolate: null, lm_head_bias: false, mlp_bias: false }],
    [
      "cohere2",
      { use_qk_norm: false, rotary_pct: 1, use_gated_activation: true, position_embedding_type: "rope_gptj" },
    ],
    ["gpt_neox", { rotary_pct: 0.25, partial_rotary_factor: 0.25, rotary_emb_base: 1e4, rope_theta: 1e4 }],
    ["gpt_neox", { attention_probs_dropout_prob: 0, hidden_dropout_prob: 0, use_cache: true, rope_scaling: null }],
    ["bert", { classifier_dropout: null, directionality: "bidi", pooler_type: "first_token_transform" }],
    ["gpt2", { n_ctx: 64, attn_pdrop: 0.1, summary_type: "cls_index", task_specific_params: {} }],
    ["vit", { encoder_stride: 16, hidden_dropout_prob: 0, pooler_act: "tanh", pooler_output_size: 12 }],
    ["qwen3_moe", { router_aux_loss_coef: 0.001, output_router_logits: false, decoder_sparse_step: 1 }],
  ] as const)("%s %j changes nothing, without a word", async (base, more) => {
    expect((await read(base, more)).remarks).toEqual([]);
  });

  test("one remark tells of keys that nothing is known of", async () => {
    const { remarks } = await read("llama", { sliding_window: 2047, a: 1, b: 2, c: 3, d: 4, e: 5 });
    expect(remarks).toEqual([
      "m: config.json: sliding_window, a, b, c, d and 1 others: unknown to Llama here, and ignored",
    ]);
  });
});

describe("keys of transformers 5", () => {
  const rope = async (more: Json) => (await read("llama", more)).config as DecoderConfig;

  test("rope_parameters hold base and scaling", async () => {
    const older = await rope({ rope_theta: 5e5, rope_scaling: { type: "linear", factor: 4 } });
    const newer = await rope({
      rope_theta: undefined,
      rope_parameters: { rope_theta: 5e5, rope_type: "linear", factor: 4 },
    });
    expect(newer.kinds).toEqual(older.kinds);
    expect(newer.kinds[0]!.rope!.inverseFrequencies[1]).toBeCloseTo(5e5 ** (-2 / 8) / 4, 8);
  });

  test("dynamic scaling is none within max_position_embeddings", async () => {
    const dynamic = await rope({ rope_scaling: { rope_type: "dynamic", factor: 4 } });
    expect(dynamic.kinds).toEqual((await rope({})).kinds);
  });

  test.each(["qwen3_moe", "olmoe", "mixtral"])("%s counts its experts by either name", async (base) => {
    for (const key of ["num_experts", "num_local_experts"]) {
      const { architecture, config } = await read(base, {
        num_experts: undefined,
        num_local_experts: undefined,
        [key]: 6,
      });
      const router = architecture.parameters(config).find(({ name }) => name.endsWith(".gate.weight"))!;
      expect(router.shape).toEqual([6, 24]);
    }
  });
});

test.each([0, null])("%p shared experts and no dense layer", async (n_shared_experts) => {
  const { architecture, config } = await read("deepseek_v3", { n_shared_experts, first_k_dense_replace: 0 });
  const names = architecture.parameters(config).map(({ name }) => name);
  expect(names.filter((name) => name.includes("shared_experts"))).toEqual([]);
  expect(names).toContain("model.layers.0.mlp.gate.e_score_correction_bias");
});

describe("decoders of several kinds", () => {
  const dense = async (base: string, more: Json) => (await read(base, more)).config as DecoderConfig;
  const windows = ({ kinds }: DecoderConfig) => kinds.map(({ window = 0 }) => window);
  const turned = ({ kinds }: DecoderConfig) => kinds.map(({ rope }) => rope !== undefined);

  test("windows follow the family's pattern where the config has no list", async () => {
    expect(windows(await dense("gemma2", { num_hidden_layers: 5 }))).toEqual([5, 0, 5, 0, 5]);
    expect(windows(await dense("gemma3_text", { num_hidden_layers: 7, sliding_window_pattern: null }))).toEqual([
      4, 4, 4, 4, 4, 0, 4,
    ]);
    expect(windows(await dense("olmo3", { num_hidden_layers: 5 }))).toEqual([3, 3, 3, 0, 3]);
    expect(windows(await dense("ministral", { layer_types: null }))).toEqual([4, 4]);
    expect(windows(await dense("ministral", { layer_types: null, sliding_window: null }))).toEqual([0, 0]);
    expect(windows(await dense("exaone4", { num_hidden_layers: 5, sliding_window_pattern: "LLLG" }))).toEqual([
      4, 4, 4, 0, 4,
    ]);
  });

  test.each(["qwen2", "qwen3"])("windows of %s begin with max_window_layers, where they are used", async (base) => {
    const used = { use_sliding_window: true, sliding_window: 6, num_hidden_layers: 3 };
    expect(windows(await dense(base, { ...used, max_window_layers: 1 }))).toEqual([0, 6, 6]);
    expect(windows(await dense(base, { ...used, max_window_layers: 0 }))).toEqual([6, 6, 6]);
    expect(windows(await dense(base, { ...used, num_hidden_layers: 30 })).slice(26)).toEqual([0, 0, 6, 6]);
    expect(windows(await dense(base, { ...used, sliding_window: undefined, max_window_layers: 2 }))).toEqual([
      0, 0, 4096,
    ]);
    const layer_types = ["sliding_attention", "full_attention", "sliding_attention"];
    expect(windows(await dense(base, { ...used, layer_types }))).toEqual([6, 0, 6]);
    expect(windows(await dense(base, { ...used, sliding_window: null, max_window_layers: 0 }))).toEqual([0, 0, 0]);
    expect(windows(await dense(base, { ...used, use_sliding_window: false, max_window_layers: 0 }))).toEqual([0, 0, 0]);
  });

  test.each(["qwen2", "qwen3"])("what is written of a new %s says which layers have windows", async (base) => {
    for (const more of [
      { max_window_layers: 1 },
      { max_window_layers: 0 },
      { layer_types: ["sliding_attention", "full_attention"] },
      { layer_types: ["sliding_attention", "sliding_attention"] },
    ]) {
      const { architecture, config } = await read(base, { use_sliding_window: true, sliding_window: 6, ...more });
      const again = (await read(base, architecture.implied!(config))).config as DecoderConfig;
      expect(windows(again)).toEqual(windows(config as DecoderConfig));
    }
  });

  test("positions enter where the family says", async () => {
    expect(turned(await dense("smollm3", { num_hidden_layers: 5, no_rope_layers: null }))).toEqual([
      true,
      true,
      true,
      false,
      true,
    ]);
    expect(turned(await dense("cohere2", {}))).toEqual([true, false]);
    expect(turned(await dense("exaone4", {}))).toEqual([true, false]);
    expect(turned(await dense("exaone4", { sliding_window: null }))).toEqual([true, true]);
  });

  test("Gemma's embedding is multiplied with a root that is rounded to the dtype of the config", async () => {
    const factor = async (more: Json) => (await dense("gemma2", { hidden_size: 2304, ...more })).multipliers.embedding;
    expect(await factor({})).toBe(48);
    expect(await factor({ hidden_size: 3072, torch_dtype: "bfloat16" })).toBe(55.5);
    expect(await factor({ hidden_size: 3072, dtype: "float32" })).toBe(Math.fround(Math.sqrt(3072)));
  });

  test("null switches caps off, and a config without the key means the paper's", async () => {
    const none = { attn_logit_softcapping: null, final_logit_softcapping: null };
    expect((await dense("gemma2", none)).caps).toEqual({ scores: undefined, logits: undefined });
    const absent = { attn_logit_softcapping: undefined, final_logit_softcapping: undefined };
    expect((await dense("gemma2", absent)).caps).toEqual({ scores: 50, logits: 30 });
  });

  test("yarn and su of Phi-3 are longrope", async () => {
    const factors = { short_factor: [1, 1, 1, 1], long_factor: [2, 2, 2, 2] };
    const kinds = async (type: string) => {
      const config = await dense("phi3", { original_max_position_embeddings: 8, rope_scaling: { type, ...factors } });
      return config.kinds;
    };
    expect(await kinds("su")).toEqual(await kinds("longrope"));
    expect(await kinds("yarn")).toEqual(await kinds("longrope"));
    expect((await kinds("su"))[0]!.rope!.long!.original).toBe(8);
  });
});

test("what training leaves out is told", () => {
  expect(trainingRemarks({ attn_pdrop: 0.1, resid_pdrop: 0, attention_dropout: 0.25 }, "m")).toEqual([
    "m: attn_pdrop 0.1, attention_dropout 0.25: trained without dropout here",
  ]);
  const asks = { output_router_logits: true, router_aux_loss_coef: 0.02 };
  expect(trainingRemarks(asks, "m")).toEqual([]);
  expect(routerCoefficient(asks)).toBe(0.02);
  expect(routerCoefficient({ model_type: "olmoe", output_router_logits: true })).toBe(0.01);
  expect(routerCoefficient({ ...asks, output_router_logits: false })).toBe(0);
});
