/**
 * What Qwen2-MoE and Qwen3-MoE share: Qwen with k of E experts in some layers and a dense feed-forward network in the
 * others. https://arxiv.org/abs/2407.10671, https://arxiv.org/abs/2505.09388
 */
import { mul, add as plus, sigmoid } from "../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Inputs, Json, Net } from "../architecture.ts";
import { ConfigReader } from "../config.ts";
import {
  attentionSpecs,
  decoderConfig,
  decoderForward,
  decoderHead,
  decoderImplied,
  decoderParameters,
  decoderSizes,
  gatedMlp,
  linearSpecs,
  mlpSpecs,
  normSpec,
} from "./decoder.ts";
import { expectExperts, expertSpecs, type SparseConfig, sparseMlp } from "./experts.ts";

const NAMES = { module: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" };

export interface QwenMoeConfig extends SparseConfig {
  /** Width between the matrices of the expert that all tokens share; 0 without one. */
  readonly sharedInner: number;
  /** Whether each layer has experts. */
  readonly sparse: readonly boolean[];
}

/** (N, C) -> sigmoid(gate(h)) * shared(h), (N, C) */
function sharedExpert(net: Net, module: string, h: Tensor): Tensor {
  const gate = sigmoid(net.rec, net.linear(h, `${module}.shared_expert_gate`)); // (N, 1)
  return mul(net.rec, gatedMlp(net, `${module}.shared_expert`, h), gate);
}

/** The equations of one of the two; `second` is Qwen2's, with biases and an expert that all tokens share. */
export const qwenMoe = (second: boolean) =>
  ({
    task: "causal-lm" as const,
    sizes: decoderSizes,
    implied: decoderImplied,

    config(json: Json, where: string) {
      const c = new ConfigReader(json, where);
      c.only("use_sliding_window", false);
      const qkv = second ? c.flag("qkv_bias", true) : c.flag("attention_bias", false);
      const decoder = decoderConfig(json, where, {
        bias: { qkv, o: !second && qkv, mlp: false },
        qkNorm: second ? "none" : "head",
        tied: false,
      });
      const every = c.count("decoder_sparse_step", 1);
      const dense = new Set(c.counts("mlp_only_layers", []));
      const config = {
        ...decoder,
        experts: c.count("num_experts", second ? 60 : 128),
        perToken: c.count("num_experts_per_tok", second ? 4 : 8),
        expertInner: c.count("moe_intermediate_size"),
        normalize: c.flag("norm_topk_prob", false),
        sharedInner: second ? c.count("shared_expert_intermediate_size") : 0,
        sparse: Array.from({ length: decoder.layers }, (_, layer) => !dense.has(layer) && (layer + 1) % every === 0),
      };
      return expectExperts(config, where);
    },

    parameters: (c: QwenMoeConfig) =>
      decoderParameters(c, (prefix, layer) => [
        ...attentionSpecs(c, prefix),
        ...(c.sparse[layer] ? expertSpecs(c, prefix, NAMES) : mlpSpecs(c, `${prefix}.mlp`)),
        ...(c.sparse[layer] && c.sharedInner > 0
          ? [
              ...mlpSpecs(c, `${prefix}.mlp.shared_expert`, c.sharedInner),
              ...linearSpecs(`${prefix}.mlp.shared_expert_gate`, 1, c.width, c.std, false),
            ]
          : []),
        normSpec(c, `${prefix}.input_layernorm.weight`),
        normSpec(c, `${prefix}.post_attention_layernorm.weight`),
      ]),

    forward: (net: Net, c: QwenMoeConfig, inputs: Inputs) =>
      decoderForward(net, c, inputs, (prefix, layer, h, add) => {
        const module = `${prefix}.mlp`;
        if (!c.sparse[layer]) return gatedMlp(net, module, h, add);
        const routed = sparseMlp(net, c, { prefix, layer, names: NAMES }, h, add);
        return c.sharedInner > 0 ? plus(net.rec, routed, sharedExpert(net, module, h)) : routed;
      }),

    head: decoderHead,
  }) satisfies Partial<Architecture<QwenMoeConfig>>;
