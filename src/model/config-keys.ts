/**
 * Keys of config.json that an architecture does not read: some change what a model computes and are refused unless
 * they say that they change nothing, some are known to change nothing, and of the others one remark tells.
 */
import { UserError } from "../errors.ts";
import type { Json } from "./architecture.ts";

/** Values with which a key changes nothing, and what the key does otherwise. */
interface Effect {
  readonly neutral: (value: unknown, json: Json) => boolean;
  readonly does: string;
}

const is =
  (...values: readonly unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

const effect = (does: string, ...values: readonly unknown[]): Effect => ({ neutral: is(...values), does });

const everyLayer = (word: unknown) => (value: unknown) => Array.isArray(value) && value.every((kind) => kind === word);

/** Beside null, which always means that a feature is not used. */
const EFFECTS: Readonly<Record<string, Effect>> = {
  partial_rotary_factor: effect("rotates a part of every head", 1),
  rotary_pct: effect("rotates a part of every head", 1),
  rotary_percent: effect("rotates a part of every head", 1),
  rotary_dim: {
    neutral: (value, { head_dim, hidden_size, num_attention_heads }) =>
      value === (head_dim ?? Number(hidden_size) / Number(num_attention_heads)),
    does: "rotates a part of every head",
  },
  rope_interleave: effect("rotates other pairs", false),
  rope_interleaved: effect("rotates other pairs", false),
  rope_local_base_freq: effect("gives some layers another rotary base"),
  no_rope_layers: { neutral: everyLayer(1), does: "leaves positions out of some layers" },
  no_rope_layer_interval: effect("leaves positions out of some layers", 0),
  layer_types: { neutral: everyLayer("full_attention"), does: "makes layers differ" },
  use_mrope: effect("gives positions several parts", false),
  alibi: effect("adds positions to the scores", false),
  position_embedding_type: effect("chooses how positions enter", "absolute", "rope", "rotary"),
  clip_qkv: effect("clips queries, keys and values"),
  qk_layernorm: effect("normalizes queries and keys", false),
  use_qk_norm: effect("normalizes queries and keys", false),
  qk_norm: effect("normalizes queries and keys", false),
  attention_bias: effect("adds biases to attention", false),
  attention_out_bias: effect("adds a bias to the output of attention", false),
  qkv_bias: effect("adds biases to queries, keys and values", false),
  mlp_bias: effect("adds biases to the feed-forward network", false),
  use_bias: effect("adds biases", false),
  attn_logit_softcapping: effect("caps the scores"),
  final_logit_softcapping: effect("caps the logits"),
  logits_soft_cap: effect("caps the logits"),
  attention_multiplier: effect("scales the scores"),
  attention_scale: effect("scales the scores"),
  use_cla: effect("shares keys and values of layers", false),
  query_pre_attn_scalar: effect("scales the scores"),
  scale_attn_by_inverse_layer_idx: effect("scales the scores by layer", false),
  embedding_multiplier: effect("scales the embeddings", 1),
  scale_emb: effect("scales the embeddings", 1),
  scale_embedding: effect("scales the embeddings", false),
  residual_multiplier: effect("scales the branches", 1),
  scale_depth: effect("scales the branches"),
  lm_head_multiplier: effect("scales the logits", 1),
  logit_scale: effect("scales the logits", 1),
  logits_scaling: effect("scales the logits", 1),
  lm_head_bias: effect("adds a bias to the logits", false),
  dim_model_base: effect("scales the logits"),
  mup_width_scale: effect("scales the logits", 1),
  use_sliding_window: effect("lets some layers see a window only", false),
  attention_chunk_size: effect("lets layers see a chunk only"),
  use_bidirectional_attention: effect("lets tokens see later ones", false),
  is_causal: effect("lets tokens see later ones", true),
  parallel_attn: effect("runs attention beside the feed-forward network", false),
  use_parallel_residual: effect("runs attention beside the feed-forward network", false),
  apply_residual_connection_post_layernorm: effect("moves the residual", false),
  add_cross_attention: effect("adds cross-attention", false),
  is_encoder_decoder: effect("adds an encoder", false),
  hidden_activation: effect("chooses another activation", "silu"),
  pruned_heads: {
    neutral: (value) => typeof value === "object" && Object.keys(value as object).length === 0,
    does: "removes heads",
  },
  scoring_func: effect("changes how the router chooses", "softmax"),
  n_group: effect("changes how the router chooses", 1),
  topk_group: effect("changes how the router chooses", 1),
  routed_scaling_factor: effect("scales what experts give", 1),
  router_jitter_noise: effect("adds noise to the router", 0),
  n_routed_experts: effect("adds experts", 0),
  n_shared_experts: effect("adds experts that all tokens share", 0),
  num_local_experts: effect("adds experts", 0, 1),
  num_experts: effect("adds experts", 0, 1),
  shared_expert_intermediate_size: effect("adds an expert that all tokens share", 0),
  first_k_dense_replace: effect("gives the first layers no experts", 0),
  kv_lora_rank: effect("factorizes keys and values"),
  q_lora_rank: effect("factorizes queries"),
};

/** Keys that say nothing of the equations, or only what files and tools need. */
const HARMLESS = new RegExp(
  `^(_.*|${[
    "architectures|model_type|dtype|torch_dtype|transformers_version|auto_map|tokenizer_class|attn_implementation",
    "(bos|eos|eod|pad|unk|sep|cls|mask|decoder_start|forced_bos|forced_eos|image|audio|video)_token_id|use_cache|name",
    "pretraining_tp|return_dict|output_(attentions|hidden_states|scores|past|router_logits)|return_dict_in_generate",
    "id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params|summary_.*|n_ctx|prefix",
    "use_bfloat16|torchscript|tf_legacy_loss|gradient_checkpointing|reorder_and_upcast_attn|chunk_size_feed_forward",
    "cross_attention_hidden_size|tie_encoder_decoder|is_decoder|quantization(_config)?|compression_config",
    "transformers\\.js_config|transformers_weights|pad_to_multiple_of",
    "max_window_layers|tie_word_embeddings|router_aux_loss_coef|aux_loss_alpha|seq_aux|initializer_range|encoder_stride|pooler_.*|directionality|tie_weights_|output_past|cache_implementation",
    "original_max_position_embeddings|max_sequence_length|max_seq_len|rope_parameters|rope_scaling|rope_theta",
    "(min|max)_(length|new_tokens)|do_sample|early_stopping|num_beams|num_beam_groups|diversity_penalty|temperature",
    "top_k|top_p|typical_p|repetition_penalty|length_penalty|no_repeat_ngram_size|encoder_no_repeat_ngram_size",
    "bad_words_ids|num_return_sequences|remove_invalid_values|exponential_decay_length_penalty|suppress_tokens",
    "begin_suppress_tokens|unsloth_.*|language|license|num_nextn_predict_layers|num_mtp_layers|mtp_\\w+|is_llama_config",
  ].join("|")})$`,
);

const isDropout = (key: string): boolean => /drop_?out|_pdrop$|drop_path/.test(key);

/**
 * Checks what `read`, the keys that the architecture asked for, leaves of a config. Throws UserError for a key that
 * changes the equations. Gives the keys that nothing is known of.
 */
export function checkUnreadKeys(json: Json, where: string, read: ReadonlySet<string>): string[] {
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(json)) {
    if (read.has(key) || value === null || HARMLESS.test(key) || isDropout(key)) continue;
    if (key === "sliding_window" && read.has("use_sliding_window")) continue;
    const known = Object.hasOwn(EFFECTS, key) ? EFFECTS[key] : undefined;
    if (!known) unknown.push(key);
    else if (!known.neutral(value, json))
      throw new UserError(
        `${where}: ${key} is ${JSON.stringify(value)}, which ${known.does}; ${json.model_type} here does not`,
        "the model would compute something else without a word; nothing but a value that changes nothing is read",
      );
  }
  return unknown;
}

/** Coefficients that transformers takes where a config says none. */
const ROUTER_COEFFICIENTS: Readonly<Record<string, number>> = { olmoe: 0.01 };

/** Weight of the load-balancing loss that a config asks for; 0 where it asks for none, as transformers reads it. */
export function routerCoefficient(json: Json): number {
  if (json.output_router_logits !== true) return 0;
  const { router_aux_loss_coef: stated } = json;
  return typeof stated === "number" ? stated : (ROUTER_COEFFICIENTS[String(json.model_type)] ?? 0.001);
}

/** What a config asks of training that is not done here, as remarks. */
export function trainingRemarks(json: Json, where: string): string[] {
  const dropouts = Object.keys(json).filter((key) => isDropout(key) && typeof json[key] === "number" && json[key] > 0);
  if (dropouts.length === 0) return [];
  return [`${where}: ${dropouts.map((key) => `${key} ${json[key]}`).join(", ")}: trained without dropout here`];
}
