/**
 * Integers of 4 bits, symmetric: the largest magnitude of 32 values of a row is 7.
 */
import { defineScaledFormat } from "../numbers/number-format.ts";

export const method = defineScaledFormat({
  name: "int4",
  title: "4-bit integers",
  about: "integers up to 7, a scale for every 32 values",
  cite: "common practice",
  bits: 4,
  grid: "integer",
  group: 32,
  rule: "absmax",
  scale: "BF16",
});
