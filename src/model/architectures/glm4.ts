/** GLM-4-0414: GLM with a further norm after attention and after the feed-forward network. */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import type { DecoderConfig } from "../blocks/decoder-config.ts";
import { glmConfig } from "../blocks/glm.ts";

export const method: Architecture<DecoderConfig> = {
  name: "glm4",
  title: "GLM-4",
  about: "GLM with a further norm after attention and after the feed-forward network: GLM-4-0414",
  cite: "arXiv:2406.12793",
  options: {},
  className: "Glm4ForCausalLM",
  ...denseDecoder,

  config: (json, where) =>
    glmConfig(json, where, {
      norms: {
        attention: { before: "input_layernorm", after: "post_self_attn_layernorm" },
        feedForward: { before: "post_attention_layernorm", after: "post_mlp_layernorm" },
      },
    }),
};
