/**
 * Floats of 6 bits with two of mantissa, up to 28, under a scale for a row: the elements of OCP Microscaling Formats
 * 1.0. Rouhani et al. 2023, https://arxiv.org/abs/2310.10537
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "fp6-e3m2",
  title: "FP6 E3M2",
  about: "floats of 3 bits of exponent up to 28, a scale for each row",
  cite: "arXiv:2310.10537",
  bits: 6,
  grid: "fp6-e3m2",
  group: "row",
  rule: "absmax",
  scale: "F32",
});
