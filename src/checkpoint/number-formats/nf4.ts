/**
 * 16 quantiles of a normal distribution, of which the largest magnitude of 64 values is 1. Dettmers et al., QLoRA,
 * 2023, https://arxiv.org/abs/2305.14314
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "nf4",
  title: "NF4",
  about: "quantiles of a normal distribution, a scale for every 64 values",
  cite: "arXiv:2305.14314",
  bits: 4,
  grid: "nf4",
  group: 64,
  rule: "absmax",
  scale: "F32",
});
