/** Mixtral: Mistral with k of E experts in place of every feed-forward network. https://arxiv.org/abs/2401.04088 */
import type { Architecture } from "../architecture.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import { expectExperts, type SparseConfig, sparseDecoder } from "../blocks/experts.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<SparseConfig> = {
  name: "mixtral",
  title: "Mixtral",
  about: "Mistral with k of E experts in place of every feed-forward network",
  cite: "arXiv:2401.04088",
  options: {},
  className: "MixtralForCausalLM",
  ...sparseDecoder({ module: "block_sparse_moe", gate: "w1", up: "w3", down: "w2" }, "num_local_experts"),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("router_jitter_noise", 0);
    const window = c.has("sliding_window") ? { window: c.count("sliding_window") } : {};
    const bias = { qkv: false, o: false, mlp: false };
    const decoder = decoderConfig(json, where, { bias, tied: false, eps: 1e-5, theta: 1e6, ...window });
    return expectExperts(
      {
        ...decoder,
        experts: c.countOf("num_local_experts", "num_experts", 8),
        perToken: c.count("num_experts_per_tok", 2),
        expertInner: decoder.inner,
        normalize: true,
      },
      where,
    );
  },
};
