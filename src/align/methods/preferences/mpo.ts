/**
 * Mixed preference optimization: which of two answers is better (DPO), whether each is good by itself (BCO), and the
 * chosen one as it is written (cross-entropy), 0.8, 0.2 and 1 times. Wang et al. 2024, https://arxiv.org/abs/2411.10442
 */
import { definePreference } from "../../preferences/contract.ts";
import { dpoLoss } from "../../preferences/dpo-loss.ts";
import { DPO } from "../../preferences/dpo-options.ts";
import { MIXED } from "../../preferences/pair-losses.ts";

export const method = definePreference({
  name: "mpo",
  title: "Mixed preference optimization",
  about: "DPO, binary classification of each answer and cross-entropy of the chosen one together",
  cite: "arXiv:2411.10442",
  reference: true,
  pairLosses: MIXED,
  options: DPO,
  loss: dpoLoss,
});
