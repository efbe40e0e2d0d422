/**
 * Cross-entropy of the chosen answers, as a mean over their tokens: beside another form it keeps them likely. Pang et
 * al. 2024, https://arxiv.org/abs/2404.19733; in MPO, https://arxiv.org/abs/2411.10442
 */
import { add, scale, stopGradient } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "sft",
  title: "Cross-entropy",
  about: "cross-entropy of the chosen answers, to stand beside another form",
  cite: "arXiv:2411.10442",
  options: {},
  // One number of the batch, said of every pair.
  loss: (rec, { chosen, nll }) => add(rec, scale(rec, stopGradient(rec, chosen.score), 0), nll()),
});
