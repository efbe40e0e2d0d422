/** The types that tensors of a GGUF file can be written in, by the names that llama.cpp gives them. */
import { iq4_nl, iq4_xs } from "./quantizers/iq4.ts";
import { q4_0, q4_1, q5_0, q5_1 } from "./quantizers/nibbles.ts";
import { q2_k } from "./quantizers/q2_k.ts";
import { q3_k } from "./quantizers/q3_k.ts";
import { q4_k, q5_k } from "./quantizers/q4_k.ts";
import { q6_k } from "./quantizers/q6_k.ts";
import { q8_0 } from "./quantizers/q8_0.ts";
import type { Quantizer } from "./quantizers/quantizer.ts";

interface Target {
  /** ggml's number of the type. */
  readonly number: number;
  /** `general.file_type` of a file whose matrices are mostly of this type. */
  readonly fileType: number;
  /** Absent for types that hold plain floats. */
  readonly quantizer?: Quantizer;
  /** What is taken instead where rows are no multiple of a block, as llama-quantize does. */
  readonly instead?: string;
}

const blocks = (number: number, fileType: number, quantizer: Quantizer, instead = "f16"): Target => ({
  number,
  fileType,
  quantizer,
  instead,
});

const TARGETS = {
  f32: { number: 0, fileType: 0 },
  f16: { number: 1, fileType: 1 },
  bf16: { number: 30, fileType: 32 },
  q8_0: blocks(8, 7, q8_0),
  q4_0: blocks(2, 2, q4_0),
  q4_1: blocks(3, 3, q4_1),
  q5_0: blocks(6, 8, q5_0),
  q5_1: blocks(7, 9, q5_1),
  q2_k: blocks(10, 10, q2_k, "iq4_nl"),
  q3_k: blocks(11, 12, q3_k, "iq4_nl"),
  q4_k: blocks(12, 14, q4_k, "q5_0"),
  q5_k: blocks(13, 16, q5_k, "q5_1"),
  q6_k: blocks(14, 18, q6_k, "q8_0"),
  iq4_nl: blocks(20, 25, iq4_nl),
  iq4_xs: blocks(23, 30, iq4_xs, "iq4_nl"),
} satisfies Record<string, Target>;

export type TargetName = keyof typeof TARGETS;

export const TARGET_NAMES = Object.keys(TARGETS) as TargetName[];
export const isTarget = (name: string): name is TargetName => Object.hasOwn(TARGETS, name);
export const targetOf = (name: TargetName): Target => TARGETS[name];

/** Bytes of `count` values in rows of whole blocks. */
export function storedBytes(name: TargetName, count: number): number {
  const { quantizer } = targetOf(name);
  return quantizer ? (count / quantizer.weights) * quantizer.bytes : count * (name === "f32" ? 4 : 2);
}

/** The type for rows of `width`: the one that is wanted, or what llama-quantize takes where its blocks do not fit. */
export function fitting(name: TargetName, width: number): TargetName {
  const { quantizer, instead } = targetOf(name);
  return quantizer === undefined || width % quantizer.weights === 0 ? name : fitting(instead as TargetName, width);
}
