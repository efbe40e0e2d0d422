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
  mlp: { model_type: "mlp", input_size: 7, hidden_sizes: [9, 5], num_labels: 3 },
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
