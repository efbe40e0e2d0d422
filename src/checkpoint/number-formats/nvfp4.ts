/**
 * Floats e2m1 in blocks of 16, each with a scale e4m3, and one number for the matrix that puts these in range. NVIDIA,
 * Pretraining Large Language Models with NVFP4, 2025, https://arxiv.org/abs/2509.25149
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "nvfp4",
  title: "NVFP4",
  about: "4-bit floats with a scale of 8 bits for every 16 values",
  cite: "arXiv:2509.25149",
  bits: 4,
  grid: "fp4-e2m1",
  group: 16,
  rule: "divided",
  scale: "F8_E4M3",
});
