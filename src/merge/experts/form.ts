/** What a layout of a mixture of experts is: which dense models fit into it, and how its parts are called. */
import type { Json } from "../../model/architecture.ts";

/** The three matrices of a gated feed-forward network. */
export const MATRICES = ["gate", "up", "down"] as const;
export type Matrix = (typeof MATRICES)[number];

/** Sizes of a mixture in the making. */
export interface MixtureSizes {
  readonly experts: number;
  readonly perToken: number;
  /** Width between the matrices of an expert. */
  readonly inner: number;
  /** Of the shared expert; 0 without one. */
  readonly sharedInner: number;
}

/** Where a tensor of a mixture's feed-forward network stands, read from its name. */
export type MixturePlace =
  | { readonly part: "router"; readonly layer: number }
  | { readonly part: "expert"; readonly layer: number; readonly expert: number; readonly matrix: Matrix }
  | { readonly part: "shared"; readonly layer: number; readonly matrix: Matrix }
  | { readonly part: "shared-gate"; readonly layer: number };

export interface ExpertForm {
  /** `model_type` of the result. */
  readonly name: string;
  readonly title: string;
  /** `model_type` of the dense models that fit. */
  readonly from: readonly string[];
  /** Key of config.json that counts experts. */
  readonly countKey: string;
  /** The dense model that its parts make: `model_type` and class by the mixture's config. */
  dense(mixture: Json): { readonly type: string; readonly className: string };
  /** How many shared experts it has. */
  readonly shared: { readonly least: number; readonly most: number; readonly gated: boolean };
  /** Keys of config.json beside the base's own; undefined removes one. */
  keys(sizes: MixtureSizes, base: Json): Json;
  /** What a tensor name says. */
  place(name: string): MixturePlace | undefined;
  /** Why a model of a kind that fits still cannot be one. */
  refuses?(base: Json): { readonly message: string; readonly hint: string } | undefined;
}

const WORD: Readonly<Record<string, Matrix>> = {
  ...{ w1: "gate", w3: "up", w2: "down" },
  ...{ gate_proj: "gate", up_proj: "up", down_proj: "down" },
};

const EXPERT = /^model\.layers\.(\d+)\.(\w+)\.experts\.(\d+)\.(\w+)\.weight$/;
const ROUTER = /^model\.layers\.(\d+)\.(\w+)\.gate\.weight$/;
const SHARED = /^model\.layers\.(\d+)\.mlp\.shared_experts?\.(\w+)\.weight$/;
const SHARED_GATE = /^model\.layers\.(\d+)\.mlp\.shared_expert_gate\.weight$/;

/** Reads the names that all these layouts have in common. */
export function mixturePlace(name: string): MixturePlace | undefined {
  const expert = EXPERT.exec(name);
  if (expert) return { part: "expert", layer: Number(expert[1]), expert: Number(expert[3]), matrix: WORD[expert[4]!]! };
  const router = ROUTER.exec(name);
  if (router) return { part: "router", layer: Number(router[1]) };
  const shared = SHARED.exec(name);
  if (shared) return { part: "shared", layer: Number(shared[1]), matrix: WORD[shared[2]!]! };
  const gate = SHARED_GATE.exec(name);
  return gate ? { part: "shared-gate", layer: Number(gate[1]) } : undefined;
}

/** The matrix of a dense feed-forward network under its name in a checkpoint. */
export const denseName = (layer: number, matrix: Matrix): string => `model.layers.${layer}.mlp.${matrix}_proj.weight`;
