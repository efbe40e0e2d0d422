/**
 * AltPO: DPO whose wanted answers are other answers that theta0 itself samples, several for every row, so that what is
 * left in place of the forgotten answer is as fluent and as likely a one. Mekala et al. 2024,
 * https://arxiv.org/abs/2409.13474
 */
import { defineObjective, EVERY_LAW } from "../../contract.ts";
import { likelihoods } from "../../likelihoods.ts";
import { BETA, preferenceLoss } from "../../preference-loss.ts";
import { sampledAnswers } from "../../sampled-answers.ts";

export const method = defineObjective({
  name: "altpo",
  title: "DPO to other answers",
  about: "prefers other answers, sampled from the model as it was, to the one to forget",
  cite: "arXiv:2409.13474",
  laws: EVERY_LAW,
  per: "sequence",
  weights: { forget: 1, retain: 1 },
  needs: [likelihoods, sampledAnswers],
  options: { beta: BETA },
  sequences: (rec, { nll, reference, wanted, values: { beta } }) =>
    preferenceLoss(rec, wanted, { nll, reference }, beta),
});
