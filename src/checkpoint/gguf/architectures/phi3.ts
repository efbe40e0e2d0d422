/** Phi-3, 3.5, 4 and 4-mini: q, k and v in one matrix, gate and up in another, longrope's factors as tensors. */
import type { GgufArchitecture } from "../architecture.ts";
import { NORMS_BEFORE } from "../block-names.ts";

export const phi3: GgufArchitecture = {
  name: "phi3",
  type: "phi3",
  class: "Phi3ForCausalLM",
  block: {
    ...NORMS_BEFORE,
    attn_qkv: "self_attn.qkv_proj",
    attn_output: "self_attn.o_proj",
    ffn_up: "mlp.gate_up_proj",
    ffn_down: "mlp.down_proj",
  },
  twofold: true,
  defaults: { eps: 1e-5, partial: 1 },

  write(config, put) {
    // llama.cpp needs the key, and sets no window yet.
    put.u32("attention.sliding_window", typeof config.sliding_window === "number" ? config.sliding_window : 0);
  },

  read: (keys) => ({ sliding_window: keys.number("attention.sliding_window") || null }),
};
