/**
 * OLMoE: k of E experts whose weights keep their share of the whole, RMSNorm over all heads of q and k.
 * https://arxiv.org/abs/2409.02060
 */
import type { Architecture } from "../architecture.ts";
import { decoderConfig, qkNorm } from "../blocks/decoder-config.ts";
import { expectExperts, type SparseConfig, sparseDecoder } from "../blocks/experts.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<SparseConfig> = {
  name: "olmoe",
  title: "OLMoE",
  about: "k of E experts whose weights keep their share of the whole, RMSNorm over all heads of q and k",
  cite: "arXiv:2409.02060",
  options: {},
  className: "OlmoeForCausalLM",
  ...sparseDecoder({ module: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" }),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("clip_qkv", null);
    const bias = c.flag("attention_bias", false);
    const decoder = decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: false },
      qkNorm: qkNorm("all"),
      tied: false,
      eps: 1e-5,
    });
    return expectExperts(
      {
        ...decoder,
        experts: c.countOf("num_experts", "num_local_experts", 64),
        perToken: c.count("num_experts_per_tok", 8),
        expertInner: decoder.inner,
        normalize: c.flag("norm_topk_prob", false),
      },
      where,
    );
  },
};
