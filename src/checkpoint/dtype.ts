/** Element types of safetensors files, their widths in bytes, and their names in configs and recipes. */

/** Bytes per element, by safetensors name: all that the format defines. Fractions share bytes with their neighbours. */
export const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2FNUZ: 1,
  F6_E2M3: 0.75,
  F6_E3M2: 0.75,
  F4: 0.5,
  C64: 8,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof DTYPE_BYTES;

/** The types a technique computes on; every other type is copied from the base or first model. */
export const isFloat = (dtype: Dtype): boolean => FLOATS.has(dtype);

const FLOATS: ReadonlySet<Dtype> = new Set(["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"]);

/**
 * Floats of which no technique computes anything: parts of quantised layouts. F8_E8M0 is a power of two that scales a
 * block: its mean with another would scale nothing right. Codes of one model fit no other model's scales.
 */
export const isCode = (dtype: Dtype): boolean => CODES.has(dtype);

const CODES: ReadonlySet<Dtype> = new Set(["F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2", "F4"]);

export const isDtype = (name: string): name is Dtype => Object.hasOwn(DTYPE_BYTES, name);

const TORCH_NAMES: Record<string, Dtype> = {
  float64: "F64",
  double: "F64",
  f64: "F64",
  fp64: "F64",
  float32: "F32",
  float: "F32",
  f32: "F32",
  fp32: "F32",
  float16: "F16",
  half: "F16",
  f16: "F16",
  fp16: "F16",
  bfloat16: "BF16",
  bf16: "BF16",
  int64: "I64",
};

/**
 * Reads a dtype as PyTorch, mergekit, Accelerate or a shell user writes it (`bfloat16`, `torch.float32`, `bf16`,
 * `FP16`, `half`); undefined if unknown.
 */
export function parseDtype(text: string): Dtype | undefined {
  const name = text.trim().replace(/^torch\./, "");
  return TORCH_NAMES[name.toLowerCase()] ?? (isDtype(name.toUpperCase()) ? (name.toUpperCase() as Dtype) : undefined);
}

/**
 * The word by which options name a dtype: `f32`, `bf16`, `f16`; transformers' `auto` is `keep`. Any other text stays as
 * it is, for the option to refuse.
 */
export function dtypeWord(text: string): string {
  if (text.trim().toLowerCase() === "auto") return "keep";
  return parseDtype(text)?.toLowerCase() ?? text;
}

/** PyTorch's name of a float dtype, as `torch_dtype` in config.json spells it; undefined for types it never names. */
export function torchName(dtype: Dtype): string | undefined {
  return { F64: "float64", F32: "float32", F16: "float16", BF16: "bfloat16" }[dtype as string];
}
