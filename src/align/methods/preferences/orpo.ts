/**
 * Odds ratio preference optimization: cross-entropy of prompt and chosen answer, and the odds of the chosen answer
 * against those of the rejected one, of probabilities per token: NLL - beta log sigmoid(log odds_w - log odds_l),
 * odds = p / (1 - p). No reference. Hong et al. 2024, https://arxiv.org/abs/2403.07691
 */
import { add, addScalar, exp, log, logSigmoid, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { definePreference } from "../../preferences/contract.ts";
import type { Answers } from "../../preferences/likelihoods.ts";

/** log(p / (1 - p)) of the probability per token. */
const logOdds = (rec: Recorder, { means }: Answers): Tensor =>
  sub(rec, means, log(rec, addScalar(rec, neg(rec, exp(rec, means)), 1)));

export const method = definePreference({
  name: "orpo",
  title: "Odds ratio preference optimization",
  about: "cross-entropy of the chosen text and the odds of both answers; no reference",
  cite: "arXiv:2403.07691",
  reads: "whole pairs",
  reference: false,
  options: {
    beta: { type: "number >= 0", default: 0.1, help: "weight of the odds (the paper's lambda)" },
  },
  loss(rec, { chosen, rejected, wholeNll, values: { beta } }) {
    const ratio = logSigmoid(rec, sub(rec, logOdds(rec, chosen), logOdds(rec, rejected)));
    return {
      losses: add(rec, scale(rec, ratio, -beta), wholeNll()),
      rewards: { chosen: scale(rec, chosen.means, beta), rejected: scale(rec, rejected.means, beta) },
      metrics: { nll: wholeNll() },
    };
  },
});
