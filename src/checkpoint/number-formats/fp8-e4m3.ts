/**
 * Floats of 8 bits with three of mantissa, for weights and activations: 448 is the largest, 2^-9 the smallest.
 * Micikevicius et al., FP8 Formats for Deep Learning, 2022, https://arxiv.org/abs/2209.05433
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "fp8-e4m3",
  title: "FP8 E4M3",
  about: "floats of 4 bits of exponent up to 448, a scale for each row",
  cite: "arXiv:2209.05433",
  bits: 8,
  grid: "fp8-e4m3",
  group: "row",
  rule: "absmax",
  scale: "F32",
});
