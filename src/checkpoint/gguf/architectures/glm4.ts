/** GLM-4-0414: norms around both halves of a block, gate and up in one matrix, a part of each head that turns. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, NORMS_BEFORE, QKV } from "../block-names.ts";

export const glm4: GgufArchitecture = {
  name: "glm4",
  type: "glm4",
  class: "Glm4ForCausalLM",
  block: {
    ...NORMS_BEFORE,
    ...ATTENTION,
    post_attention_norm: "post_self_attn_layernorm",
    ffn_up: "mlp.gate_up_proj",
    ffn_down: "mlp.down_proj",
    post_ffw_norm: "post_mlp_layernorm",
  },
  biases: QKV,
  biasKeys: { attention_bias: "attn_q" },
  twofold: true,
  defaults: { headSize: 128, keyHeads: 2, partial: 0.5, eps: 1.5625e-7 },
};
