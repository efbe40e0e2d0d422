/**
 * DPO with a wanted answer: -(2 / beta) log sigmoid(beta ((log p - log p_theta0)(wanted) - (log p - log
 * p_theta0)(forgotten))). The wanted answer is a row's `refusal` (IdkDPO) or its `alternative` (AltPO). Zhang et al.
 * 2024, https://arxiv.org/abs/2404.05868
 */
import { defineObjective, EVERY_LAW } from "../../contract.ts";
import { likelihoods } from "../../likelihoods.ts";
import { BETA, preferenceLoss } from "../../preference-loss.ts";
import { rowAnswers } from "../../row-answers.ts";

export const method = defineObjective({
  name: "dpo",
  title: "DPO to a wanted answer",
  about: "prefers a refusal (or another answer) to the one to forget",
  cite: "arXiv:2404.05868",
  laws: EVERY_LAW,
  per: "sequence",
  weights: { forget: 1, retain: 1 },
  needs: [likelihoods, rowAnswers],
  options: { beta: BETA },
  sequences: (rec, { nll, reference, wanted, values: { beta } }) =>
    preferenceLoss(rec, wanted, { nll, reference }, beta),
});
