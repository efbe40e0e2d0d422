/**
 * Direct preference optimization: the chosen answer is to gain more over the reference than the rejected one. The gain
 * of an answer is f'(p / p_ref), with reverse KL log p - log p_ref; --pair-loss says what is made of both gains.
 * Rafailov et al. 2023, https://arxiv.org/abs/2305.18290; other divergences: Wang et al. 2024,
 * https://arxiv.org/abs/2309.16240; the tail of the longer answer weighed apart: LD-DPO,
 * https://arxiv.org/abs/2409.06411; pairs weighed by how likely the model itself finds them: WPO,
 * https://arxiv.org/abs/2406.11827
 */
import { definePreference } from "../../preferences/contract.ts";
import { dpoLoss } from "../../preferences/dpo-loss.ts";
import { DPO } from "../../preferences/dpo-options.ts";

export const method = definePreference({
  name: "dpo",
  title: "Direct preference optimization",
  about: "make chosen answers gain more over the reference than rejected ones",
  cite: "arXiv:2305.18290",
  reference: true,
  pairLosses: [{ name: "sigmoid", weight: 1 }],
  options: DPO,
  loss: dpoLoss,
});
