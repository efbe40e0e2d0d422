/**
 * A mixture of experts whose config says how its router scores them, to compare trainings of models that differ in
 * nothing else: Llama with k of E experts in every block and `router`, one of the ways of blocks/routers.ts. An
 * architecture of our own, for models that are trained here. The routers that FSMoE lists, 2025,
 * https://arxiv.org/abs/2501.10714
 */
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { decoderConfig, decoderImplied } from "../blocks/decoder-config.ts";
import { expectExperts, expertSpecs, type SparseConfig, sparseMlp } from "../blocks/experts.ts";
import { ROUTER_NAMES, ROUTERS } from "../blocks/routers.ts";
import { ConfigReader } from "../config.ts";

const NAMES = { module: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" };

export const method: Architecture<SparseConfig> = {
  name: "mixture_decoder",
  title: "Mixture with any router",
  about: "Llama with k of E experts whose config says how the router scores them: softmax, sigmoid, noisy, cosine",
  cite: "arXiv:2501.10714",
  options: {},
  ...causalDecoder<SparseConfig>(
    {
      specs: (c, prefix) => expertSpecs(c, prefix, NAMES),
      forward: (net, c, prefix, layer, h, add) => sparseMlp(net, c, { prefix, layer, names: NAMES }, h, add),
    },
    {
      implied: (c) => ({
        ...decoderImplied(c),
        num_experts: c.experts,
        num_experts_per_tok: c.perToken,
        moe_intermediate_size: c.expertInner,
        norm_topk_prob: c.normalize,
        router: c.router!.name,
        router_width: c.router!.width,
        router_temperature: c.router!.temperature,
      }),
    },
  ),

  config(json, where) {
    const c = new ConfigReader(json, where);
    const decoder = decoderConfig(json, where, { tied: false });
    const name = c.oneOf("router", ROUTER_NAMES, "softmax");
    return expectExperts(
      {
        ...decoder,
        experts: c.count("num_experts", 8),
        perToken: c.count("num_experts_per_tok", 2),
        expertInner: c.count("moe_intermediate_size", decoder.inner),
        normalize: c.flag("norm_topk_prob", true),
        routing: { scoring: ROUTERS[name].scoring },
        router: {
          name,
          width: c.count("router_width", Math.max(1, Math.floor(decoder.width / 2))),
          temperature: c.number("router_temperature", 0.3, { least: 0, open: true }),
        },
      },
      where,
    );
  },
};
