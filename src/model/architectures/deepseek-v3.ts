/**
 * DeepSeek-V3: latent attention, and k of E experts that are chosen by sigmoid and a bias from the best groups.
 * https://arxiv.org/abs/2412.19437
 */
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import { type LatentConfig, latentAttention, latentForward, latentSpecs } from "../blocks/latent-attention.ts";
import {
  type SharedExpertsConfig,
  sharedExperts,
  sharedExpertsConfig,
  sharedExpertsImplied,
} from "../blocks/shared-experts.ts";
import { ConfigReader } from "../config.ts";

type Config = LatentConfig & SharedExpertsConfig;

export const method: Architecture<Config> = {
  name: "deepseek_v3",
  title: "DeepSeek-V3",
  about: "latent attention, and k of E experts chosen by sigmoid and a bias: DeepSeek-V3, R1, Moonlight",
  cite: "arXiv:2412.19437",
  options: {},
  className: "DeepseekV3ForCausalLM",
  ...causalDecoder<Config>(sharedExperts, {
    implied: sharedExpertsImplied,
    attention: { specs: latentSpecs, forward: latentForward },
  }),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("scoring_func", "sigmoid");
    c.only("topk_method", "noaux_tc");
    c.only("moe_layer_freq", 1);
    const { latent, traits } = latentAttention(c, {
      ...{ queryRank: 1536, rank: 512, still: 128, turning: 64, values: 128, interleaved: true },
    });
    const decoder = { ...decoderConfig(json, where, { ...traits, tied: false }), latent };
    return sharedExpertsConfig(c, decoder, {
      ...{ experts: 256, perToken: 8, expertInner: 2048, shared: 1, dense: 3, normalize: true, scale: 2.5 },
      groups: { count: 8, kept: 4, worth: "two" },
      ...{ scoring: "sigmoid", choiceBias: true },
    });
  },
};
