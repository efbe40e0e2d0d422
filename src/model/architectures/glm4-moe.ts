/** GLM-4.5: GLM-4 with k of E experts, chosen by sigmoid and a bias. https://arxiv.org/abs/2508.06471 */
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { decoderConfig, qkNorm } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import {
  type SharedExpertsConfig,
  sharedExperts,
  sharedExpertsConfig,
  sharedExpertsImplied,
} from "../blocks/shared-experts.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<SharedExpertsConfig> = {
  name: "glm4_moe",
  title: "GLM-4-MoE",
  about: "GLM-4 with k of E experts, chosen by sigmoid and a bias: GLM-4.5, 4.6",
  cite: "arXiv:2508.06471",
  options: {},
  className: "Glm4MoeForCausalLM",
  ...causalDecoder(sharedExperts, { implied: sharedExpertsImplied }),

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    const normed = c.flag("use_qk_norm", false);
    const decoder = decoderConfig(json, where, {
      bias: { qkv: bias, o: false, mlp: false },
      ...(normed ? { qkNorm: qkNorm("head") } : {}),
      tied: false,
      eps: 1e-5,
      kinds(sizes) {
        const rope = rotary(c, { ...sizes, partial: 0.5 });
        return Array.from({ length: sizes.layers }, () => ({ rope }));
      },
      keys: {
        attention_bias: bias,
        use_qk_norm: normed,
        partial_rotary_factor: c.number("partial_rotary_factor", 0.5),
      },
    });
    return sharedExpertsConfig(c, decoder, {
      ...{ experts: 128, perToken: 8, expertInner: 1408, shared: 1, dense: 1, normalize: true, scale: 1 },
      groups: { count: 1, kept: 1, worth: "two" },
      ...{ scoring: "sigmoid", choiceBias: true },
    });
  },
};
