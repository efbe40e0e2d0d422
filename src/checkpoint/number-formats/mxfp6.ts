/**
 * Floats e2m3 in blocks of 32, under the power of two that gives the largest magnitude the largest exponent: values
 * past the last level are cut. OCP Microscaling Formats 1.0; Rouhani et al. 2023, https://arxiv.org/abs/2310.10537
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "mxfp6",
  title: "MXFP6 E2M3",
  about: "6-bit floats e2m3 under a power of two for every 32 values",
  cite: "arXiv:2310.10537",
  bits: 6,
  grid: "fp6-e2m3",
  group: 32,
  rule: "power",
  scale: "F8_E8M0",
});
