/**
 * Llama with a small feed-forward network beside the big one of every block, to study which tokens need how much
 * computation. It runs as the Llama of its big networks; `train` draws for every layer and batch whether the big one,
 * the small one or none is taken, and `evaluate --probe compute-oracle` tries all ways. An architecture of our own, for
 * models that are trained here. Alizadeh et al., Duo-LLM, 2024, https://arxiv.org/abs/2410.10846
 */
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import { type DuoConfig, duoMlp, duoSpecs } from "../blocks/duo.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DuoConfig> = {
  name: "duo_decoder",
  title: "Decoder with two sizes of feed-forward network",
  about: "Llama with a small feed-forward network beside each big one; training draws which of them a layer takes",
  cite: "arXiv:2410.10846",
  options: {},
  ...causalDecoder<DuoConfig>({ specs: duoSpecs, forward: duoMlp }),

  config(json, where) {
    const c = new ConfigReader(json, where);
    const inner = c.count("intermediate_size");
    const smallInner = c.count("small_intermediate_size", Math.max(1, Math.floor(inner / 8)));
    const skip = c.number("skip_probability", 0.1, { least: 0, below: 1 });
    const keys = { small_intermediate_size: smallInner, skip_probability: skip };
    const bias = c.flag("attention_bias", false);
    const own = { bias: { qkv: bias, o: bias, mlp: c.flag("mlp_bias", false) }, tied: false, keys };
    return { ...decoderConfig(json, where, own), smallInner, skip };
  },
};
