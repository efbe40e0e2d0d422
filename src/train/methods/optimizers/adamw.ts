/**
 * AdamW: Adam with weight decay apart from the gradient. Loshchilov & Hutter, ICLR 2019,
 * https://arxiv.org/abs/1711.05101.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { ADAMW } from "../../adamw.ts";

export const method = defineOptimizer({
  name: "adamw",
  title: "AdamW",
  about: "Adam with weight decay apart from the gradient",
  cite: "arXiv:1711.05101",
  laws: EVERY_OPTIMIZER_LAW,
  ...ADAMW,
});
