/**
 * Negative preference optimization: -(2 / beta) log sigmoid(beta (NLL - NLL of theta0)), means over sequences. A
 * sequence weighs less the more it is forgotten, which keeps the model from falling apart; beta to 0 is gradient
 * ascent. Zhang et al. 2024, https://arxiv.org/abs/2404.05868
 */
import { logSigmoid, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";
import { likelihoods } from "../../likelihoods.ts";

export const method = defineObjective({
  name: "npo",
  title: "Negative preference optimization",
  about: "forget rows as rejected answers without a chosen one; slows down as they are forgotten",
  cite: "arXiv:2404.05868",
  laws: EVERY_LAW,
  per: "sequence",
  weights: { forget: 1, retain: 1 },
  needs: [likelihoods],
  options: { beta: { type: "number > 0", default: 0.1, help: "how soon a forgotten sequence stops counting" } },
  sequences(rec, { nll, reference, values: { beta } }) {
    const forgotten = sub(rec, rowSum(rec, nll), reference); // (B)
    return scale(rec, logSigmoid(rec, scale(rec, forgotten, beta)), -2 / beta);
  },
});
