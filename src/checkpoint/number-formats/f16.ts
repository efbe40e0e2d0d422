/**
 * IEEE 754 half precision: infinity past 65504, nothing below 2^-25. Micikevicius et al., Mixed Precision Training,
 * 2017, https://arxiv.org/abs/1710.03740
 */
import { definePlainFormat } from "../numbers/number-format.ts";

export const method = definePlainFormat({
  name: "f16",
  title: "Half precision",
  about: "5 bits of exponent and 10 of mantissa, no scale: up to 65504",
  cite: "arXiv:1710.03740",
  dtype: "F16",
});
