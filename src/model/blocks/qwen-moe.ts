/**
 * What Qwen2-MoE and Qwen3-MoE share: Qwen with k of E experts in some layers and a dense feed-forward network in the
 * others. https://arxiv.org/abs/2407.10671, https://arxiv.org/abs/2505.09388
 */
import { mul, add as plus, sigmoid } from "../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";
import { causalDecoder, type FeedForward } from "./causal-decoder.ts";
import { gatedMlp, mlpSpecs } from "./decoder.ts";
import { type DecoderConfig, decoderImplied } from "./decoder-config.ts";
import { type ExpertNames, expectExperts, expertSpecs, routerSpecs, type SparseConfig, sparseMlp } from "./experts.ts";

const NAMES = { module: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" };

const namesOf = ({ stacked }: QwenMoeConfig): ExpertNames => (stacked ? { ...NAMES, both: "gate_up_proj" } : NAMES);

export interface QwenMoeConfig extends SparseConfig {
  /** Width between the matrices of the expert that all tokens share; 0 without one. */
  readonly sharedInner: number;
  /** Whether each layer has experts. */
  readonly sparse: readonly boolean[];
  /** All experts of a layer are stored as two tensors. */
  readonly stacked?: boolean;
}

/** (N, C) -> sigmoid(gate(h)) * shared(h), (N, C) */
function sharedExpert(net: Net, c: QwenMoeConfig, module: string, h: Tensor): Tensor {
  const gate = sigmoid(net.rec, net.linear(h, `${module}.shared_expert_gate`)); // (N, 1)
  return mul(net.rec, gatedMlp(net, c, `${module}.shared_expert`, h), gate);
}

/** Reads the keys that both have; `own` are the defaults of one of them. Throws UserError. */
export function qwenMoeConfig<D extends DecoderConfig>(
  c: ConfigReader,
  where: string,
  decoder: D,
  own: Pick<QwenMoeConfig, "experts" | "perToken" | "sharedInner"> & Partial<QwenMoeConfig>,
): D & QwenMoeConfig {
  const every = c.count("decoder_sparse_step", 1);
  const dense = new Set(c.counts("mlp_only_layers", []));
  const config = {
    ...decoder,
    experts: c.countOf("num_experts", "num_local_experts", own.experts),
    perToken: c.count("num_experts_per_tok", own.perToken),
    expertInner: c.count("moe_intermediate_size", own.expertInner),
    normalize: c.flag("norm_topk_prob", own.normalize ?? false),
    sharedInner: own.sharedInner,
    ...(own.stacked ? { stacked: true } : {}),
    sparse: Array.from({ length: decoder.layers }, (_, layer) => !dense.has(layer) && (layer + 1) % every === 0),
  };
  return expectExperts(config, where);
}

/** All keys of these architectures that other tools read. */
export const qwenMoeImplied = (c: QwenMoeConfig): Json => ({
  ...decoderImplied(c),
  num_experts: c.experts,
  num_experts_per_tok: c.perToken,
  moe_intermediate_size: c.expertInner,
  norm_topk_prob: c.normalize,
  ...(c.sharedInner > 0 ? { shared_expert_intermediate_size: c.sharedInner } : {}),
});

/** Experts in some layers, and the one that all tokens share. */
export const qwenMoeFeedForward: FeedForward<QwenMoeConfig> = {
  specs(c, prefix, layer) {
    const module = `${prefix}.mlp`;
    if (!c.sparse[layer]) return mlpSpecs(c, module);
    const routed = expertSpecs(c, prefix, namesOf(c));
    if (c.sharedInner === 0) return routed;
    return [
      ...routed,
      ...mlpSpecs(c, `${module}.shared_expert`, c.sharedInner),
      ...routerSpecs(`${module}.shared_expert_gate`, 1, c),
    ];
  },
  forward(net, c, prefix, layer, h, add) {
    const module = `${prefix}.mlp`;
    if (!c.sparse[layer]) return gatedMlp(net, c, module, h, add);
    const routed = sparseMlp(net, c, { prefix, layer, names: namesOf(c) }, h, add);
    return c.sharedInner > 0 ? plus(net.rec, routed, sharedExpert(net, c, module, h)) : routed;
  },
};

/** Everything but how config.json is read. */
export const qwenMoeDecoder = causalDecoder<QwenMoeConfig>(qwenMoeFeedForward, { implied: qwenMoeImplied });
