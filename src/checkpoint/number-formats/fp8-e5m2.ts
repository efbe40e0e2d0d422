/**
 * Floats of 8 bits with two of mantissa, for gradients: 57344 is the largest, 2^-16 the smallest. Micikevicius et al.,
 * FP8 Formats for Deep Learning, 2022, https://arxiv.org/abs/2209.05433
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "fp8-e5m2",
  title: "FP8 E5M2",
  about: "floats of 5 bits of exponent up to 57344, a scale for each row",
  cite: "arXiv:2209.05433",
  bits: 8,
  grid: "fp8-e5m2",
  group: "row",
  rule: "absmax",
  scale: "F32",
});
