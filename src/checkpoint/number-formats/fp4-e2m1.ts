/**
 * Floats of 4 bits (0, 0.5, 1, 1.5, 2, 3, 4, 6) whose scale makes the largest of 32 values 6: the elements of OCP
 * Microscaling Formats 1.0 without its powers of two. Rouhani et al. 2023, https://arxiv.org/abs/2310.10537
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "fp4-e2m1",
  title: "FP4 E2M1",
  about: "floats of 2 bits of exponent up to 6, a scale for every 32 values",
  cite: "arXiv:2310.10537",
  bits: 4,
  grid: "fp4-e2m1",
  group: 32,
  rule: "absmax",
  scale: "BF16",
});
