/**
 * rsLoRA: LoRA with s = alpha / sqrt(r), so that gradients keep their size at any rank.
 *
 * Kalajdzievski 2023, https://arxiv.org/abs/2312.03732.
 */
import { loraType } from "../lora/type.ts";

export const method = loraType(
  {
    name: "rslora",
    title: "rsLoRA",
    about: "LoRA whose scale is alpha / sqrt(rank)",
    cite: "arXiv:2312.03732",
    options: {},
  },
  () => ({ rslora: true }),
);
