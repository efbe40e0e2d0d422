/**
 * A decoder whose config says where its norms stand, to compare trainings of models that differ in nothing else: Llama
 * with `norm_placement`, `qk_norm` and `base_width`. An architecture of our own, for models that are trained here.
 *
 *   pre   x + F(N(x))               as Llama
 *   post  N(x + F(x))               as the first Transformer, with a last norm more
 *   peri  x + N(F(N(x)))            as Gemma 2
 *   out   x + N(F(x))               as OLMo 2
 *
 * Kim et al., Peri-LN: Revisiting Layer Normalization in the Transformer Architecture, 2025,
 * https://arxiv.org/abs/2502.02732. `qk_norm` puts an RMSNorm on every head of q and k, as Qwen3; `base_width`
 * multiplies logits by base_width / hidden_size, the output scale of mu-parametrisation: Wortsman et al. 2023,
 * https://arxiv.org/abs/2309.14322
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import {
  type DecoderConfig,
  type DecoderTraits,
  decoderConfig,
  NORMS_AFTER,
  qkNorm,
} from "../blocks/decoder-config.ts";
import { ConfigReader } from "../config.ts";

const PLACEMENTS = ["pre", "post", "peri", "out"] as const;

const NORMS: Readonly<Record<(typeof PLACEMENTS)[number], DecoderTraits["norms"]>> = {
  pre: { attention: { before: "input_layernorm" }, feedForward: { before: "post_attention_layernorm" } },
  post: { attention: { sum: "attention_sum_layernorm" }, feedForward: { sum: "feedforward_sum_layernorm" } },
  peri: {
    attention: { before: "input_layernorm", after: "post_attention_layernorm" },
    feedForward: { before: "pre_feedforward_layernorm", after: "post_feedforward_layernorm" },
  },
  out: NORMS_AFTER,
};

export const method: Architecture<DecoderConfig> = {
  name: "norm_decoder",
  title: "Decoder with its norms anywhere",
  about: "Llama whose config says where norms stand, whether q and k have one, and how logits are scaled",
  cite: "arXiv:2502.02732",
  options: {},
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const placement = c.oneOf("norm_placement", PLACEMENTS, "pre");
    const normed = c.flag("qk_norm", false);
    const width = c.count("hidden_size");
    const base = c.count("base_width", width);
    return decoderConfig(json, where, {
      norms: NORMS[placement],
      ...(normed ? { qkNorm: qkNorm("head") } : {}),
      multipliers: { embedding: 1, residual: 1, logits: base / width },
      tied: false,
      keys: { norm_placement: placement, qk_norm: normed, base_width: base },
    });
  },
};
