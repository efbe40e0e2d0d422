/** The types of GGUF tensors by number: plain ones as they are, quantized ones through a decoder to F32. */
import type { Dtype } from "../dtype.ts";
import type { BlockType } from "./blocks/block.ts";
import { IQ4_NL, IQ4_XS, MXFP4 } from "./blocks/four-bit.ts";
import { Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K } from "./blocks/k.ts";
import { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1 } from "./blocks/legacy.ts";

/** A type that is read: the dtype that comes out and, where it is quantized, its blocks. */
export interface GgufType {
  readonly name: string;
  readonly dtype: Dtype;
  readonly blocks?: BlockType;
  /** Bits of a code, of a quantized type. */
  readonly bits?: number;
}

const plain = (dtype: Dtype): GgufType => ({ name: dtype, dtype });
const quantized = (name: string, bits: number, blocks: BlockType): GgufType => ({ name, dtype: "F32", blocks, bits });

/** By ggml's number of the type. */
export const GGUF_TYPES: Readonly<Record<number, GgufType>> = {
  0: plain("F32"),
  1: plain("F16"),
  2: quantized("Q4_0", 4, Q4_0),
  3: quantized("Q4_1", 4, Q4_1),
  6: quantized("Q5_0", 5, Q5_0),
  7: quantized("Q5_1", 5, Q5_1),
  8: quantized("Q8_0", 8, Q8_0),
  9: quantized("Q8_1", 8, Q8_1),
  10: quantized("Q2_K", 2, Q2_K),
  11: quantized("Q3_K", 3, Q3_K),
  12: quantized("Q4_K", 4, Q4_K),
  13: quantized("Q5_K", 5, Q5_K),
  14: quantized("Q6_K", 6, Q6_K),
  15: quantized("Q8_K", 8, Q8_K),
  20: quantized("IQ4_NL", 4, IQ4_NL),
  23: quantized("IQ4_XS", 4, IQ4_XS),
  24: plain("I8"),
  25: plain("I16"),
  26: plain("I32"),
  27: plain("I64"),
  28: plain("F64"),
  30: plain("BF16"),
  39: quantized("MXFP4", 4, MXFP4),
};

/** Types that are known and not read, so that a refusal can name them. */
const UNREAD: Readonly<Record<number, string>> = {
  4: "Q4_2",
  5: "Q4_3",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  21: "IQ3_S",
  22: "IQ2_S",
  29: "IQ1_M",
  31: "Q4_0_4_4",
  32: "Q4_0_4_8",
  33: "Q4_0_8_8",
  34: "TQ1_0",
  35: "TQ2_0",
  36: "IQ4_NL_4_4",
  37: "IQ4_NL_4_8",
  38: "IQ4_NL_8_8",
  40: "NVFP4",
};

/** What a type that is not read is called in a message. */
export const unreadType = (type: number): string => UNREAD[type] ?? `of type ${type}`;
