/** Seed-OSS: Llama with heads of their own size and biases of q, k and v. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, DENSE, QKV } from "../block-names.ts";

export const seedOss: GgufArchitecture = {
  name: "seed_oss",
  type: "seed_oss",
  class: "SeedOssForCausalLM",
  // The norm before the feed-forward network has the name of one after attention.
  block: {
    attn_norm: "input_layernorm",
    ...ATTENTION,
    post_attention_norm: "post_attention_layernorm",
    ...DENSE,
  },
  biases: QKV,
  biasKeys: { attention_bias: "attn_q" },
  defaults: { headSize: 128, keyHeads: 8 },
  read: () => ({ attention_out_bias: false, mlp_bias: false }),
};
