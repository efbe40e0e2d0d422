/**
 * Floats e5m2 in blocks of 32, under the power of two that gives the largest magnitude the largest exponent: values
 * past the last level are cut. OCP Microscaling Formats 1.0; Rouhani et al. 2023, https://arxiv.org/abs/2310.10537
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "mxfp8-e5m2",
  title: "MXFP8 E5M2",
  about: "8-bit floats e5m2 under a power of two for every 32 values",
  cite: "arXiv:2310.10537",
  bits: 8,
  grid: "fp8-e5m2",
  group: 32,
  rule: "power",
  scale: "F8_E8M0",
});
