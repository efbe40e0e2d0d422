/**
 * Floats of 6 bits with three of mantissa, up to 7.5, under a scale for a row: the elements of OCP Microscaling Formats
 * 1.0. Rouhani et al. 2023, https://arxiv.org/abs/2310.10537
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "fp6-e2m3",
  title: "FP6 E2M3",
  about: "floats of 2 bits of exponent up to 7.5, a scale for each row",
  cite: "arXiv:2310.10537",
  bits: 6,
  grid: "fp6-e2m3",
  group: "row",
  rule: "absmax",
  scale: "F32",
});
