/**
 * DeepSeek-V2: latent attention, and k of E experts by softmax, from the best groups where a config has some.
 * https://arxiv.org/abs/2405.04434
 */
import { CANNOT_RUN, UserError } from "../../errors.ts";
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
  name: "deepseek_v2",
  title: "DeepSeek-V2",
  about: "latent attention, and k of E experts by softmax: DeepSeek-V2, V2-Lite",
  cite: "arXiv:2405.04434",
  options: {},
  className: "DeepseekV2ForCausalLM",
  ...causalDecoder<Config>(sharedExperts, {
    implied: (c) => ({
      ...sharedExpertsImplied(c),
      topk_method: c.routing?.groups ? "group_limited_greedy" : "greedy",
    }),
    attention: { specs: latentSpecs, forward: latentForward },
  }),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("scoring_func", "softmax");
    c.only("moe_layer_freq", 1);
    const method = c.text("topk_method") ?? "greedy";
    if (method !== "greedy" && method !== "group_limited_greedy")
      throw new UserError(
        `${where}: topk_method is ${JSON.stringify(method)}; greedy and group_limited_greedy are known`,
        CANNOT_RUN,
      );
    // The published code divides by the sum instead of scaling, transformers does neither or both: no model has it.
    c.only("norm_topk_prob", false);
    const { latent, traits } = latentAttention(c, {
      ...{ queryRank: 1536, rank: 512, still: 128, turning: 64, values: 128, interleaved: true },
    });
    const decoder = { ...decoderConfig(json, where, { ...traits, tied: false }), latent };
    return sharedExpertsConfig(c, decoder, {
      ...{ experts: 64, perToken: 6, expertInner: 1407, shared: 2, dense: 0, normalize: false, scale: 1 },
      groups: method === "greedy" ? undefined : { count: 8, kept: 3, worth: "best" },
      ...{ scoring: "softmax", choiceBias: false },
    });
  },
};
