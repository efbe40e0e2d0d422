/**
 * The upper half of an f32. Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, 2019,
 * https://arxiv.org/abs/1905.12322
 */
import { definePlainFormat } from "../numbers/number-format.ts";

export const method = definePlainFormat({
  name: "bf16",
  title: "bfloat16",
  about: "8 bits of exponent and 7 of mantissa, no scale",
  cite: "arXiv:1905.12322",
  dtype: "BF16",
});
