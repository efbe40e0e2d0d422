/** config.json of a tiny model of every architecture, with odd sizes. */
import type { Json } from "../../src/model/architecture.ts";

const decoder = {
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  vocab_size: 50,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  initializer_range: 0.3,
};

/** Language models. */
export const TINY_TEXT: Readonly<Record<string, Json>> = {
  llama: { ...decoder, model_type: "llama", rope_theta: 10_000 },
  "llama with llama3 scaling and biases": {
    ...decoder,
    model_type: "llama",
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: true,
    rope_scaling: {
      rope_type: "llama3",
      factor: 4,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 16,
    },
  },
  mistral: { ...decoder, model_type: "mistral", sliding_window: 5 },
  qwen2: { ...decoder, model_type: "qwen2", rope_theta: 1e6 },
  qwen3: { ...decoder, model_type: "qwen3", head_dim: 10, num_key_value_heads: 3 },
  "qwen2 with a window in its second layer": {
    ...{ ...decoder, model_type: "qwen2" },
    ...{ use_sliding_window: true, sliding_window: 3, max_window_layers: 1 },
  },
  gpt2: {
    model_type: "gpt2",
    n_embd: 24,
    n_head: 3,
    n_layer: 2,
    n_positions: 64,
    vocab_size: 50,
    initializer_range: 0.3,
  },
};

const neox = {
  model_type: "gpt_neox",
  ...{ hidden_size: 24, intermediate_size: 40, num_hidden_layers: 2, num_attention_heads: 3, vocab_size: 50 },
  ...{ max_position_embeddings: 64, initializer_range: 0.3, layer_norm_eps: 1e-5 },
};

/** GPT-NeoX in all its forms. */
export const TINY_NEOX: Readonly<Record<string, Json>> = {
  gpt_neox: neox,
  "gpt_neox with its halves in turn, tied": {
    ...neox,
    ...{ use_parallel_residual: false, tie_word_embeddings: true, hidden_act: "gelu_fast", rotary_pct: 1 },
    rotary_emb_base: 500,
  },
  "gpt_neox in newer keys, without biases of attention": {
    ...neox,
    ...{ num_attention_heads: 2, attention_bias: false },
    rope_parameters: { rope_type: "default", rope_theta: 1000, partial_rotary_factor: 0.5 },
  },
};

/** Decoders that differ from Llama in more than a bias or a norm. */
export const TINY_DECODERS: Readonly<Record<string, Json>> = {
  "norm-decoder, norms after sums, q and k normed, logits scaled": {
    ...decoder,
    ...{ model_type: "norm_decoder", norm_placement: "post", qk_norm: true, base_width: 12 },
  },
  "norm-decoder, norms before and after": { ...decoder, model_type: "norm_decoder", norm_placement: "peri" },
  gemma2: {
    ...decoder,
    model_type: "gemma2",
    head_dim: 6,
    sliding_window: 5,
    query_pre_attn_scalar: 20,
    attn_logit_softcapping: 3,
    final_logit_softcapping: 4,
  },
  gemma3_text: {
    ...decoder,
    model_type: "gemma3_text",
    num_hidden_layers: 3,
    head_dim: 10,
    sliding_window: 4,
    sliding_window_pattern: 3,
    query_pre_attn_scalar: 12,
    rope_theta: 1e5,
    rope_local_base_freq: 100,
    rope_scaling: { rope_type: "linear", factor: 8 },
  },
  phi3: { ...decoder, model_type: "phi3", sliding_window: 5 },
  "phi3 with longrope in a part of a head": {
    ...decoder,
    model_type: "phi3",
    partial_rotary_factor: 0.75,
    original_max_position_embeddings: 10,
    rope_scaling: { type: "longrope", short_factor: [1, 1.5, 2], long_factor: [3, 5, 7] },
  },
  olmo2: { ...decoder, model_type: "olmo2", attention_bias: true },
  olmo3: {
    ...decoder,
    model_type: "olmo3",
    num_hidden_layers: 4,
    sliding_window: 3,
    rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16 },
  },
  granite: {
    ...decoder,
    model_type: "granite",
    attention_bias: true,
    mlp_bias: true,
    embedding_multiplier: 3,
    attention_multiplier: 0.2,
    residual_multiplier: 0.4,
    logits_scaling: 2.5,
  },
  smollm3: {
    ...decoder,
    model_type: "smollm3",
    num_hidden_layers: 3,
    no_rope_layers: [1, 0, 1],
    use_sliding_window: true,
    sliding_window: 4,
  },
  cohere2: {
    ...decoder,
    model_type: "cohere2",
    rms_norm_eps: null,
    layer_norm_eps: 1e-5,
    sliding_window: 4,
    sliding_window_pattern: 2,
    logit_scale: 0.25,
    attention_bias: true,
  },
  glm: { ...decoder, model_type: "glm", head_dim: 10, partial_rotary_factor: 0.6 },
  glm4: { ...decoder, model_type: "glm4", head_dim: 8, num_key_value_heads: 3 },
  ministral: {
    ...decoder,
    model_type: "ministral",
    sliding_window: 4,
    layer_types: ["sliding_attention", "full_attention"],
  },
  ministral3: {
    ...decoder,
    model_type: "ministral3",
    head_dim: 10,
    rope_parameters: {
      rope_type: "yarn",
      rope_theta: 1e4,
      factor: 4,
      original_max_position_embeddings: 6,
      llama_4_scaling_beta: 0.4,
    },
  },
  seed_oss: { ...decoder, model_type: "seed_oss", head_dim: 10, num_key_value_heads: 3, attention_out_bias: true },
  exaone4: { ...decoder, model_type: "exaone4", head_dim: 10, sliding_window: 4, sliding_window_pattern: 2 },
  "exaone4 without a window": { ...decoder, model_type: "exaone4", sliding_window: null },
  hunyuan_v1_dense: {
    ...decoder,
    model_type: "hunyuan_v1_dense",
    head_dim: 10,
    rope_scaling: { type: "dynamic", factor: 1, alpha: 100 },
  },
  deepseek: {
    ...decoder,
    ...{ model_type: "deepseek", n_routed_experts: 6, num_experts_per_tok: 2 },
    ...{ moe_intermediate_size: 5, n_shared_experts: 2, first_k_dense_replace: 1 },
  },
  deepseek_v2: {
    ...decoder,
    ...{ model_type: "deepseek_v2", q_lora_rank: null, kv_lora_rank: 10 },
    ...{ qk_nope_head_dim: 6, qk_rope_head_dim: 4, v_head_dim: 12 },
    ...{ n_routed_experts: 6, n_group: 3, topk_group: 2, topk_method: "group_limited_greedy", num_experts_per_tok: 2 },
    ...{ moe_intermediate_size: 5, n_shared_experts: 2, first_k_dense_replace: 1, routed_scaling_factor: 3 },
  },
  deepseek_v3: {
    ...decoder,
    ...{ model_type: "deepseek_v3", q_lora_rank: 14, kv_lora_rank: 10 },
    ...{ qk_nope_head_dim: 6, qk_rope_head_dim: 4, v_head_dim: 8 },
    ...{ n_routed_experts: 8, n_group: 4, topk_group: 2, num_experts_per_tok: 3 },
    ...{ moe_intermediate_size: 5, n_shared_experts: 1, first_k_dense_replace: 1 },
  },
  glm4_moe: {
    ...decoder,
    ...{ model_type: "glm4_moe", head_dim: 8, use_qk_norm: true, attention_bias: true },
    ...{ n_routed_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 5, first_k_dense_replace: 1 },
  },
  mixture_decoder: {
    ...decoder,
    ...{ model_type: "mixture_decoder", num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 7 },
    ...{ router: "sigmoid", router_width: 5, router_temperature: 0.2 },
  },
  gpt_oss: {
    ...decoder,
    ...{ model_type: "gpt_oss", head_dim: 8, sliding_window: 5, num_local_experts: 4, num_experts_per_tok: 2 },
  },
};

/** Llama with small feed-forward networks beside the big ones. */
export const TINY_DUO: Json = {
  ...decoder,
  model_type: "duo_decoder",
  small_intermediate_size: 5,
  skip_probability: 0.3,
};

const tower = {
  hidden_size: 12,
  intermediate_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  image_size: 6,
  patch_size: 2,
  num_channels: 2,
  initializer_range: 0.3,
};

const DELTA = {
  ...decoder,
  ...{ num_hidden_layers: 3, layer_types: ["linear_attention", "full_attention", "linear_attention"] },
  ...{ head_dim: 8, rms_norm_eps: 1e-5, rope_theta: 1e4, partial_rotary_factor: 0.5 },
  ...{ linear_num_key_heads: 2, linear_num_value_heads: 4, linear_key_head_dim: 5, linear_value_head_dim: 6 },
  linear_conv_kernel_dim: 4,
};
const DELTA_EXPERTS = {
  ...{ num_experts: 5, num_experts_per_tok: 2, moe_intermediate_size: 7, shared_expert_intermediate_size: 9 },
};

/** Decoders that keep a state in some layers. */
export const TINY_DELTA: Readonly<Record<string, Json>> = {
  qwen3_next: { ...DELTA, ...DELTA_EXPERTS, model_type: "qwen3_next" },
  qwen3_5_text: { ...DELTA, model_type: "qwen3_5_text", linear_num_key_heads: 4, tie_word_embeddings: true },
  qwen3_5_moe_text: { ...DELTA, ...DELTA_EXPERTS, model_type: "qwen3_5_moe_text", linear_conv_kernel_dim: 3 },
};

/** Language models that keep a state in all layers. */
export const TINY_RECURRENT: Readonly<Record<string, Json>> = {
  cfc: { model_type: "cfc", vocab_size: 50, hidden_size: 12, backbone_size: 9, num_hidden_layers: 2 },
  gru: { model_type: "gru", vocab_size: 50, hidden_size: 12, num_hidden_layers: 2, tie_word_embeddings: true },
};

/** Classifiers. */
export const TINY_EXAMPLES: Readonly<Record<string, Json>> = {
  vit: {
    model_type: "vit",
    hidden_size: 12,
    intermediate_size: 20,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    image_size: 6,
    patch_size: 2,
    num_channels: 1,
    num_labels: 5,
    initializer_range: 0.3,
  },
  clip_vision_model: { ...tower, model_type: "clip_vision_model", projection_dim: 7, num_labels: 5 },
  "clip of the whole, GELU": {
    model_type: "clip",
    projection_dim: 9,
    num_labels: 4,
    vision_config: { ...tower, hidden_act: "gelu", layer_norm_eps: 1e-3 },
  },
  mlp: { model_type: "mlp", input_size: 7, hidden_sizes: [9, 5], num_labels: 3 },
  equilibrium: { model_type: "equilibrium", input_size: 7, hidden_sizes: [9, 5], num_labels: 3, relaxation_steps: 4 },
  "equilibrium with feedback of its own": {
    ...{ model_type: "equilibrium", input_size: 7, hidden_sizes: [9, 5, 4], num_labels: 3, relaxation_steps: 3 },
    tied_feedback: false,
  },
};

const encoder = {
  ...{ hidden_size: 24, intermediate_size: 40, num_hidden_layers: 2, num_attention_heads: 3, vocab_size: 50 },
  ...{ max_position_embeddings: 32, initializer_range: 0.3 },
};

/** Classifiers of texts. */
export const TINY_ENCODERS: Readonly<Record<string, Json>> = {
  bert: { ...encoder, model_type: "bert", num_labels: 3, type_vocab_size: 2 },
  "bert with ReLU and names": {
    ...encoder,
    ...{ model_type: "bert", hidden_act: "relu", layer_norm_eps: 1e-5, type_vocab_size: 3 },
    ...{ id2label: { 0: "no", 1: "yes" }, label2id: { no: 0, yes: 1 }, problem_type: "single_label_classification" },
  },
  distilbert: {
    ...{ model_type: "distilbert", dim: 24, hidden_dim: 40, n_layers: 2, n_heads: 3, vocab_size: 50, num_labels: 4 },
    ...{ max_position_embeddings: 32, initializer_range: 0.3, sinusoidal_pos_embds: false },
  },
  roberta: { ...encoder, model_type: "roberta", num_labels: 3, type_vocab_size: 1, layer_norm_eps: 1e-5 },
  "xlm-roberta": { ...encoder, model_type: "xlm-roberta", num_labels: 2, type_vocab_size: 1, pad_token_id: 6 },
};

/** Language models with experts. */
export const TINY_EXPERTS: Readonly<Record<string, Json>> = {
  mixtral: { ...decoder, model_type: "mixtral", num_local_experts: 4, num_experts_per_tok: 2 },
  qwen2_moe: {
    ...decoder,
    model_type: "qwen2_moe",
    num_experts: 5,
    num_experts_per_tok: 2,
    moe_intermediate_size: 12,
    shared_expert_intermediate_size: 20,
  },
  olmoe: { ...decoder, model_type: "olmoe", num_experts: 3, num_experts_per_tok: 1, num_key_value_heads: 3 },
};
