/**
 * What DeepSeek's mixtures of experts and those after them share: dense first layers, then k of E experts with a router
 * of its own kind, beside experts that all tokens pass through. https://arxiv.org/abs/2401.06066
 */
import { UserError } from "../../errors.ts";
import type { Json } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";
import type { FeedForward } from "./causal-decoder.ts";
import { gatedMlp, mlpSpecs } from "./decoder.ts";
import { type DecoderConfig, decoderImplied } from "./decoder-config.ts";
import { expectExperts, expertSpecs, type Routing, type SparseConfig, sparseMlp } from "./experts.ts";

const NAMES = { module: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" };

export type SharedExpertsConfig = SparseConfig & {
  /** Width between the matrices of the experts that all tokens share, side by side; 0 without them. */
  readonly sharedInner: number;
  /** So many of the first layers have no experts. */
  readonly dense: number;
};

/** Values of keys that a config leaves out, and how the router chooses. */
export interface SharedExpertsOwn {
  readonly experts: number;
  readonly perToken: number;
  readonly expertInner: number;
  readonly shared: number;
  readonly dense: number;
  readonly normalize: boolean;
  readonly scale: number;
  readonly groups: { readonly count: number; readonly kept: number; readonly worth: "best" | "two" } | undefined;
  readonly scoring: "softmax" | "sigmoid";
  readonly choiceBias: boolean;
}

/** Reads the keys that these architectures have beside a decoder's. Throws UserError. */
export function sharedExpertsConfig<D extends DecoderConfig>(
  c: ConfigReader,
  decoder: D,
  own: SharedExpertsOwn,
): D & SharedExpertsConfig {
  const expertInner = c.count("moe_intermediate_size", own.expertInner);
  const experts = c.countOf("n_routed_experts", "num_local_experts", own.experts);
  const groups = own.groups && {
    ...own.groups,
    count: c.count("n_group", own.groups.count),
    kept: c.count("topk_group", own.groups.kept),
  };
  if (groups && (experts % groups.count !== 0 || groups.kept > groups.count || groups.count > 32))
    throw new UserError(
      `${c.where}: topk_group ${groups.kept} of n_group ${groups.count} groups of ${experts} experts (n_routed_experts)`,
      "groups are of one size, and at most 32",
    );
  const routing: Routing = {
    scoring: own.scoring,
    scale: c.number("routed_scaling_factor", own.scale),
    ...(groups ? { groups } : {}),
    choiceBias: own.choiceBias,
  };
  const config = {
    ...decoder,
    ...{ experts, expertInner, routing },
    perToken: c.count("num_experts_per_tok", own.perToken),
    normalize: c.flag("norm_topk_prob", own.normalize),
    sharedInner: c.count("n_shared_experts", own.shared) * expertInner,
    dense: c.count("first_k_dense_replace", own.dense),
  };
  const open = groups ? (experts / groups.count) * groups.kept : experts;
  if (config.perToken > open)
    throw new UserError(
      `${c.where}: num_experts_per_tok is ${config.perToken}, and there are ${open} experts to choose from`,
      "compare it with the model's page",
    );
  return expectExperts(config, c.where);
}

/** All keys of these architectures that other tools read. */
export const sharedExpertsImplied = (c: SharedExpertsConfig): Json => ({
  ...decoderImplied(c),
  n_routed_experts: c.experts,
  num_experts_per_tok: c.perToken,
  moe_intermediate_size: c.expertInner,
  norm_topk_prob: c.normalize,
  n_shared_experts: c.sharedInner / c.expertInner,
  first_k_dense_replace: c.dense,
  routed_scaling_factor: c.routing?.scale ?? 1,
  ...(c.routing?.groups ? { n_group: c.routing.groups.count, topk_group: c.routing.groups.kept } : {}),
});

export const sharedExperts: FeedForward<SharedExpertsConfig> = {
  specs(c, prefix, layer) {
    const module = `${prefix}.mlp`;
    if (layer < c.dense) return mlpSpecs(c, module);
    const shared = c.sharedInner > 0 ? mlpSpecs(c, `${module}.shared_experts`, c.sharedInner) : [];
    return [...expertSpecs(c, prefix, NAMES), ...shared];
  },
  forward(net, c, prefix, layer, h, add) {
    const module = `${prefix}.mlp`;
    if (layer < c.dense) return gatedMlp(net, c, module, h, add);
    const routed = sparseMlp(net, c, { prefix, layer, names: NAMES }, h, add);
    return c.sharedInner > 0 ? gatedMlp(net, c, `${module}.shared_experts`, h, routed) : routed;
  },
};
