/** What DeepSeek-V2 and V3 share: latent attention, and experts beside shared ones. https://arxiv.org/abs/2405.04434 */
import type { Json } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";
import { causalDecoder } from "./causal-decoder.ts";
import { decoderConfig } from "./decoder-config.ts";
import { type LatentConfig, latentForward, latentSpecs, latentTraits } from "./latent-attention.ts";
import {
  type SharedExpertsConfig,
  type SharedExpertsOwn,
  sharedExperts,
  sharedExpertsConfig,
  sharedExpertsImplied,
} from "./shared-experts.ts";

export type DeepseekConfig = LatentConfig & SharedExpertsConfig;

/** Everything but how config.json is read; `more` are keys that only one of them has. */
export const deepseekDecoder = (more: (config: DeepseekConfig) => Json = () => ({})) =>
  causalDecoder<DeepseekConfig>(sharedExperts, {
    implied: (c) => ({ ...sharedExpertsImplied(c), ...more(c) }),
    attention: { specs: latentSpecs, forward: latentForward },
  });

/**
 * Reads the keys that both have; `own` are the defaults of one of them and how its router chooses. Throws UserError.
 */
export function deepseekConfig(c: ConfigReader, json: Json, where: string, own: SharedExpertsOwn): DeepseekConfig {
  c.only("moe_layer_freq", 1);
  const { latent, traits } = latentTraits(c, {
    ...{ queryRank: 1536, rank: 512, still: 128, turning: 64, values: 128, interleaved: true },
  });
  return sharedExpertsConfig(c, { ...decoderConfig(json, where, { ...traits, tied: false }), latent }, own);
}
