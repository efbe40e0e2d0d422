/**
 * Mixes of types by their names in llama-quantize: most matrices get one K type, those that a model depends on most get
 * more bits. The choice is that of llama.cpp (src/llama-quant.cpp) without an importance matrix.
 */
import type { TargetName } from "./targets.ts";

/** What the choice depends on. */
export interface MixedModel {
  /** `general.architecture`. */
  readonly name: string;
  readonly layers: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly experts: number;
  /** The embedding is the head too. */
  readonly tied: boolean;
}

/** A matrix: its layer, and the model that it is in. */
interface Place {
  readonly layer: number;
  readonly model: MixedModel;
}

type Choice = (place: Place) => TargetName | undefined;

interface Mix {
  readonly base: TargetName;
  /** `general.file_type`. */
  readonly fileType: number;
  /** By kind of matrix; the base where a choice is absent or gives nothing. */
  readonly value?: Choice;
  readonly down?: Choice;
  readonly output?: Choice;
  readonly fused?: Choice;
}

/** The first and last eighth of the layers, and every third between. */
const important = ({ layer, model: { layers } }: Place): boolean => {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
};
const first =
  (part: number) =>
  ({ layer, model: { layers } }: Place): boolean =>
    layer < Math.floor(layers / part);
const grouped = ({ model: { heads, keyHeads } }: Place): boolean => heads / keyHeads >= 4;

const always =
  (type: TargetName): Choice =>
  () =>
    type;
const where =
  (holds: (place: Place) => boolean, type: TargetName, otherwise?: TargetName): Choice =>
  (place) =>
    holds(place) ? type : otherwise;

const MIXES = {
  q2_k_m: {
    base: "q2_k",
    fileType: 10,
    value: where(grouped, "q4_k", "q3_k"),
    down: always("q3_k"),
    output: always("q3_k"),
  },
  q2_k_s: { base: "q2_k", fileType: 21, value: where(grouped, "q4_k"), down: where(first(8), "q4_k") },
  q3_k_s: { base: "q3_k", fileType: 11 },
  q3_k_m: {
    base: "q3_k",
    fileType: 12,
    value: where(({ layer }) => layer < 2, "q5_k", "q4_k"),
    down: where(first(16), "q5_k", "q4_k"),
    output: always("q4_k"),
    fused: always("q4_k"),
  },
  q3_k_l: {
    base: "q3_k",
    fileType: 13,
    value: always("q5_k"),
    down: always("q5_k"),
    output: always("q5_k"),
    fused: always("q4_k"),
  },
  q4_k_s: { base: "q4_k", fileType: 14, value: where(({ layer }) => layer < 4, "q5_k"), down: where(first(8), "q5_k") },
  q4_k_m: {
    base: "q4_k",
    fileType: 15,
    value: where(important, "q6_k"),
    down: where(important, "q6_k"),
    fused: always("q5_k"),
  },
  q5_k_s: { base: "q5_k", fileType: 16 },
  q5_k_m: {
    base: "q5_k",
    fileType: 17,
    value: where(important, "q6_k"),
    down: where(important, "q6_k"),
    fused: always("q6_k"),
  },
} as const satisfies Record<string, Mix>;

export type MixName = keyof typeof MIXES;

export const MIX_NAMES = Object.keys(MIXES) as MixName[];
export const isMix = (name: string): name is MixName => Object.hasOwn(MIXES, name);
export const mixFileType = (name: MixName): number => MIXES[name].fileType;

/** With eight experts the other matrices are a small part of the model. */
const EIGHT = 8;
/** Mixes that give the output projection of a model with eight experts five bits. */
const LOW: readonly MixName[] = ["q2_k_m", "q3_k_s", "q3_k_m", "q4_k_s", "q4_k_m"];

/** Llama and Qwen2 of 70 billion weights: eight heads share a value matrix, which is small and matters much. */
const isLarge = ({ name, layers }: MixedModel): boolean => layers === 80 && (name === "llama" || name === "qwen2");

/** The type that a mix gives to a matrix, by its name in the file. */
export function mixedType(mix: MixName, name: string, model: MixedModel): TargetName {
  const { base, value, down, output, fused }: Mix = MIXES[mix];
  const eight = model.experts === EIGHT;
  if (name === "output.weight" || (model.tied && name === "token_embd.weight")) return "q6_k";
  const place = { layer: Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? 0), model };
  if (name.endsWith("attn_v.weight")) {
    const found = value?.(place) ?? base;
    if (eight) return "q8_0";
    return isLarge(model) && (found === "q3_k" || found === "q4_k") ? "q5_k" : found;
  }
  if (name.endsWith("attn_k.weight")) return eight ? "q8_0" : base;
  if (name.includes("ffn_down")) return down?.(place) ?? base;
  if (name.endsWith("attn_output.weight")) {
    if (eight) return LOW.includes(mix) ? "q5_k" : base;
    return output?.(place) ?? base;
  }
  if (name.endsWith("attn_qkv.weight")) return fused?.(place) ?? base;
  return base;
}
