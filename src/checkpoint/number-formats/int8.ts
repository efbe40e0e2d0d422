/**
 * Integers of 8 bits, symmetric: the largest magnitude of a row is 127. Dettmers et al., LLM.int8(), 2022,
 * https://arxiv.org/abs/2208.07339
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "int8",
  title: "8-bit integers",
  about: "integers up to 127, a scale for each row",
  cite: "arXiv:2208.07339",
  bits: 8,
  grid: "integer",
  group: "row",
  rule: "absmax",
  scale: "F32",
});
