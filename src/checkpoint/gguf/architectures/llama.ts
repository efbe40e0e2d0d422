/** Llama, and Mistral, which llama.cpp calls llama too. */
import type { GgufArchitecture } from "../architecture.ts";
import { LLAMA } from "../block-names.ts";

export const llama: GgufArchitecture = {
  name: "llama",
  type: "llama",
  class: "LlamaForCausalLM",
  block: LLAMA,
  biases: ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
  biasKeys: { attention_bias: "attn_q", mlp_bias: "ffn_gate" },
  reordered: true,
  factors: true,
};
