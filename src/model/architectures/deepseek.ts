/**
 * DeepSeek-MoE: Llama's attention, and k of E experts by softmax beside experts that all tokens pass through.
 * https://arxiv.org/abs/2401.06066
 */
import { CANNOT_RUN, UserError } from "../../errors.ts";
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import {
  type SharedExpertsConfig,
  sharedExperts,
  sharedExpertsConfig,
  sharedExpertsImplied,
} from "../blocks/shared-experts.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<SharedExpertsConfig> = {
  name: "deepseek",
  title: "DeepSeek-MoE",
  about: "Llama with k of E experts by softmax beside experts of all tokens: DeepSeek-MoE 16B",
  cite: "arXiv:2401.06066",
  options: {},
  className: "DeepseekForCausalLM",
  ...causalDecoder(sharedExperts, { implied: sharedExpertsImplied }),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("scoring_func", "softmax");
    const every = c.count("moe_layer_freq", 1);
    if (every !== 1)
      throw new UserError(
        `${where}: moe_layer_freq is ${every}; every layer after the first has experts here`,
        CANNOT_RUN,
      );
    const bias = c.flag("attention_bias", false);
    const decoder = decoderConfig(json, where, { bias: { qkv: bias, o: bias, mlp: false }, tied: false });
    return sharedExpertsConfig(c, decoder, {
      ...{ experts: 64, perToken: 6, expertInner: 1407, shared: 0, dense: 0, normalize: false, scale: 1 },
      ...{ groups: undefined, scoring: "softmax", choiceBias: false },
    });
  },
};
