/**
 * DeepSeek-V3: latent attention, and k of E experts that are chosen by sigmoid and a bias from the best groups.
 * https://arxiv.org/abs/2412.19437
 */
import type { Architecture } from "../architecture.ts";
import { type DeepseekConfig, deepseekConfig, deepseekDecoder } from "../blocks/deepseek.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DeepseekConfig> = {
  name: "deepseek_v3",
  title: "DeepSeek-V3",
  about: "latent attention, and k of E experts chosen by sigmoid and a bias: DeepSeek-V3, R1, Moonlight",
  cite: "arXiv:2412.19437",
  options: {},
  className: "DeepseekV3ForCausalLM",
  ...deepseekDecoder(),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("scoring_func", "sigmoid");
    c.only("topk_method", "noaux_tc");
    return deepseekConfig(c, json, where, {
      ...{ experts: 256, perToken: 8, expertInner: 2048, shared: 1, dense: 3, normalize: true, scale: 2.5 },
      groups: { count: 8, kept: 4, worth: "two" },
      ...{ scoring: "sigmoid", choiceBias: true },
    });
  },
};
