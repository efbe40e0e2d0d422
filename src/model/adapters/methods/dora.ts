/**
 * DoRA: rows of W + s B A at learnt lengths, which are held constant on the way back.
 *
 * Liu et al., ICML 2024, https://arxiv.org/abs/2402.09353, section 4.3.
 */
import { loraType } from "../lora/type.ts";

export const method = loraType(
  {
    name: "dora",
    title: "DoRA",
    about: "LoRA that learns the length of every row of the weight apart from its direction",
    cite: "arXiv:2402.09353",
    options: {},
  },
  () => ({ dora: true }),
);
