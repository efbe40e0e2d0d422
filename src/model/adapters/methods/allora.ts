/**
 * ALLoRA: LoRA without dropout and without a scale, whose rows learn the faster the shorter they are.
 *
 *   y = W x + B A x,  g_i = 1 / sqrt(||(B A)_i|| + 1 / eta^2)
 *
 * `grad`, as published: the gradient that reaches output i of the low-rank branch is multiplied by g_i on its way to B
 * and A. `lr`: the step of row i of B is, since an optimizer such as AdamW divides a factor of the gradient out again.
 * Huang and Balestriero 2024, https://arxiv.org/abs/2410.09692.
 */
import { loraType } from "../lora/type.ts";

export const method = loraType(
  {
    name: "allora",
    title: "ALLoRA",
    about: "LoRA without a scale, whose rows learn the faster the shorter they are",
    cite: "arXiv:2410.09692",
    options: {
      allora_eta: { type: "number > 0", default: 5, help: "rate of a row at the start, over that of LoRA" },
      allora_apply: {
        type: "'grad' | 'lr'",
        default: "grad",
        help: "what the rate multiplies: the gradient (AdamW divides it out of B again), or the step of a row of B",
      },
    },
  },
  ({ allora_eta, allora_apply }) => ({ plain: true, dropout: 0, rates: { eta: allora_eta, apply: allora_apply } }),
);
