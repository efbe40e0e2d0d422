/** Names of tensors in a block that several architectures share: in GGUF files, and in the layers of transformers. */
import { EXPERT } from "./architecture.ts";

export const ATTENTION = {
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
} as const;

/** Biases of queries, keys and values. */
export const QKV = ["attn_q", "attn_k", "attn_v"] as const;

export const DENSE = { ffn_gate: "mlp.gate_proj", ffn_up: "mlp.up_proj", ffn_down: "mlp.down_proj" } as const;

export const QK_NORM = { attn_q_norm: "self_attn.q_norm", attn_k_norm: "self_attn.k_norm" } as const;

export const NORMS_BEFORE = { attn_norm: "input_layernorm", ffn_norm: "post_attention_layernorm" } as const;

/** Of the halves of a block, before they are added to the residual. */
export const NORMS_AFTER = {
  post_attention_norm: "post_attention_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
} as const;

/** Gemma's: before and after both halves. */
export const NORMS_AROUND = {
  ...NORMS_AFTER,
  attn_norm: "input_layernorm",
  ffn_norm: "pre_feedforward_layernorm",
} as const;

/** Llama's block. */
export const LLAMA = { ...NORMS_BEFORE, ...ATTENTION, ...DENSE } as const;

/** The router of a module and its experts, one tensor for all of a block. */
export const expertNames = (module: string, gate = "gate_proj", up = "up_proj", down = "down_proj") => ({
  ffn_gate_inp: `${module}.gate`,
  ffn_gate_exps: `${module}.experts.${EXPERT}.${gate}`,
  ffn_up_exps: `${module}.experts.${EXPERT}.${up}`,
  ffn_down_exps: `${module}.experts.${EXPERT}.${down}`,
});
