/**
 * What mixtures of experts share: their sizes, their tensors, and the feed-forward network that a router spreads over
 * them.
 */
import { UserError } from "../../errors.ts";
import { gated, gatedHalves } from "../../tensor/ops/activation.ts";
import { div, mul } from "../../tensor/ops/elementwise.ts";
import { combine, dispatch } from "../../tensor/ops/moe.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { type RouteOptions, route } from "../../tensor/ops/router.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Net, ParameterSpec } from "../architecture.ts";
import { causalDecoder } from "./causal-decoder.ts";
import { linearSpecs } from "./decoder.ts";
import { type DecoderConfig, decoderImplied } from "./decoder-config.ts";
import { type RouterSizes, routerOf } from "./routers.ts";

export interface ExpertsConfig {
  readonly experts: number;
  /** Experts of every token. */
  readonly perToken: number;
  /** Width between the matrices of an expert. */
  readonly expertInner: number;
  /** Divide the weights of a token's experts by their sum. */
  readonly normalize: boolean;
  /** How the router departs from a softmax over all experts. */
  readonly routing?: Routing;
  /** How the router scores experts; by a product with its gate when left out. */
  readonly router?: RouterSizes["router"];
}

export interface Routing extends Pick<RouteOptions, "scoring" | "groups" | "scale"> {
  /** A bias of each expert enters its choice, and nothing else: `gate.e_score_correction_bias`. */
  readonly choiceBias?: boolean;
}

export type SparseConfig = DecoderConfig & ExpertsConfig;

/** Where a layer's router and experts are, below `model.layers.N`. */
export interface ExpertNames {
  /** Module of router and experts. */
  readonly module: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  /** One tensor for all experts is stored, (E, out, in), with gates and ups in one: its name. */
  readonly both?: string;
}

/** Experts of a layer, and how many of them every token takes; undefined of a config without a mixture of experts. */
export function expertsIn(config: unknown): { readonly count: number; readonly perToken: number } | undefined {
  if (typeof config !== "object" || config === null || !("experts" in config) || !("perToken" in config)) return;
  const { experts: count, perToken } = config;
  return typeof count === "number" && typeof perToken === "number" ? { count, perToken } : undefined;
}

/** Most experts of all layers together; far above every published model. */
const MOST_EXPERTS = 200_000;

/** Throws UserError when tokens ask for more experts than there are, and when there are too many to name. */
export function expectExperts<C extends SparseConfig>(config: C, where: string): C {
  const { experts, perToken, layers } = config;
  if (experts * layers > MOST_EXPERTS)
    throw new UserError(
      `${where}: ${layers} layers of ${experts} experts are more than ${MOST_EXPERTS} experts`,
      "compare it with the model's page",
    );
  if (perToken > experts)
    throw new UserError(
      `${where}: num_experts_per_tok is ${perToken}, and there are ${experts} experts`,
      "compare it with the model's page",
    );
  return config;
}

/** A router, or the gate of a shared expert. */
export const routerSpecs = (
  module: string,
  out: number,
  c: DecoderConfig,
  routes: true | "parameter" = true,
): ParameterSpec[] => linearSpecs(module, out, c.width, c.std, false).map((spec) => ({ ...spec, routes }));

/** The router's gate (E, C), or what its kind has in the place of it. */
function gateSpecs(c: SparseConfig, at: string, routes: true | "parameter"): ParameterSpec[] {
  const own = routerOf(c).gate?.(at, c);
  return own ? [own] : routerSpecs(`${at}.gate`, c.experts, c, routes);
}

const choiceBias = (at: string, experts: number): ParameterSpec => ({
  name: `${at}.gate.e_score_correction_bias`,
  shape: [experts],
  init: "zeros",
  buffer: true,
});

/** Router, and each of an expert's three matrices as a stack over the experts. */
export function expertSpecs(c: SparseConfig, prefix: string, names: ExpertNames): ParameterSpec[] {
  const { module, gate, up, down, both } = names;
  const at = `${prefix}.${module}`;
  const stack = (name: string, out: number, into: number): ParameterSpec => ({
    name: `${at}.experts.${name}`,
    shape: [c.experts, out, into],
    init: { std: c.std },
    ...(both
      ? { stack: "out-in" }
      : { parts: Array.from({ length: c.experts }, (_, e) => `${at}.experts.${e}.${name}.weight`) }),
  });
  return [
    ...(routerOf(c).specs?.(at, c) ?? []),
    ...gateSpecs(c, at, c.routing?.choiceBias || both ? "parameter" : true),
    ...(c.routing?.choiceBias ? [choiceBias(at, c.experts)] : []),
    ...(both
      ? [stack(both, 2 * c.expertInner, c.width)]
      : [stack(gate, c.expertInner, c.width), stack(up, c.expertInner, c.width)]),
    stack(down, c.width, c.expertInner),
  ];
}

/** Throws UserError where a layer is asked for more experts than a router may choose from. */
function expectActive(layer: number, k: number, { experts, routing }: SparseConfig): void {
  const { count, kept } = routing?.groups ?? { count: 1, kept: 1 };
  const open = (experts / count) * kept;
  if (k > open)
    throw new UserError(
      `layer ${layer} is to take ${k} experts for a token, and its router chooses from ${open}`,
      "ask for fewer",
    );
}

/**
 * Weights (N, k) of the k likeliest experts, of which those of `ranks` count and all others are 0. Together they weigh
 * what the config's own experts would, so that the layer's output keeps its scale.
 */
function weightsOf(
  { rec }: Net,
  c: SparseConfig,
  {
    logits,
    options,
    chosen,
    ranks,
  }: {
    readonly logits: Tensor;
    readonly options: Omit<RouteOptions, "k">;
    readonly chosen: ReturnType<typeof route>;
    readonly ranks: readonly number[];
  },
): Tensor {
  const [n = 0, k = 0] = chosen.weights.shape;
  const counts = Float32Array.from({ length: k }, (_, rank) => (ranks.includes(rank) ? 1 : 0));
  const kept = mul(rec, chosen.weights, rec.constant(counts, [1, k], "ranks of experts"));
  const mass = (weights: Tensor) => rec.reshape(rowSum(rec, weights), [n, 1]);
  const own = route(rec, logits, { ...options, k: c.perToken }).weights;
  return mul(rec, div(rec, kept, mass(kept)), mass(own));
}

/**
 * Router logits (N, E) of a layer -> weights (N, k) of every token's experts and where they go. While training asks
 * for more experts than the config, these share what the config's own would weigh together, so that the layer's output
 * keeps its scale.
 */
export function routeTokens(
  net: Net,
  c: SparseConfig,
  layer: number,
  logits: Tensor,
  bias?: Tensor,
): ReturnType<typeof route> {
  const { rec } = net;
  const { choiceBias: _, ...routing } = c.routing ?? {};
  const options = { normalize: c.normalize, ...routing, ...(bias ? { bias } : {}) };
  const isOwn = net.ranks?.length === c.perToken && net.ranks.every((rank, i) => rank === i);
  const ranks = isOwn ? undefined : net.ranks;
  const k = ranks ? Math.max(...ranks) + 1 : net.active(layer, c.perToken);
  expectActive(layer, k, c);
  const chosen = route(rec, logits, { ...options, k, ...(k === c.perToken ? {} : { normalize: true }) });
  const { expertOf } = chosen.plan;
  net.routed(layer, { logits, k, expertOf, scoring: routing.scoring ?? "softmax" });
  if (ranks) return { weights: weightsOf(net, c, { logits, options, chosen, ranks }), plan: chosen.plan };
  if (k === c.perToken || c.normalize) return chosen;
  const own = route(rec, logits, { ...options, scale: 1, k: c.perToken });
  const mass = rec.reshape(rowSum(rec, own.weights), [logits.shape[0]!, 1]); // (N, 1)
  return { weights: mul(rec, chosen.weights, mass), plan: chosen.plan };
}

/**
 * add + sum over each token's experts of weight * down(silu(gate(h)) * up(h)). (N, C) -> (N, C). Notes the router's
 * logits (N, E) as `router.<layer>`.
 */
export function sparseMlp(
  net: Net,
  c: SparseConfig,
  { prefix, layer, names }: { readonly prefix: string; readonly layer: number; readonly names: ExpertNames },
  h: Tensor,
  add?: Tensor,
): Tensor {
  const { rec } = net;
  const at = `${prefix}.${names.module}`;
  const logits = net.note(`router.${layer}`, routerOf(c).logits(net, at, c, h)); // (N, E)
  const bias = c.routing?.choiceBias ? net.weight(`${at}.gate.e_score_correction_bias`) : undefined;
  const { weights, plan } = routeTokens(net, c, layer, logits, bias);
  const rows = dispatch(rec, h, plan); // (N * k, C)
  const through = (x: Tensor, name: string) => net.experts(x, `${at}.experts.${name}`, plan);
  const inner = names.both
    ? gatedHalves(rec, through(rows, names.both))
    : gated(rec, through(rows, names.gate), through(rows, names.up)); // (N * k, inner)
  return combine(rec, through(inner, names.down), weights, plan, add ? { add } : {});
}

/**
 * A decoder with experts in every block; `names` are those of their module and matrices, `key` the one that counts
 * them.
 */
export const sparseDecoder = (names: ExpertNames, key: "num_experts" | "num_local_experts" = "num_experts") =>
  causalDecoder<SparseConfig>(
    {
      specs: (c, prefix) => expertSpecs(c, prefix, names),
      forward: (net, c, prefix, layer, h, add) => sparseMlp(net, c, { prefix, layer, names }, h, add),
    },
    { implied: (c) => ({ ...decoderImplied(c), [key]: c.experts, num_experts_per_tok: c.perToken }) },
  );
