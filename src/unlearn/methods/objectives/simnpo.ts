/**
 * SimNPO: NPO without a reference and by length, -(2 / beta) log sigmoid(beta (NLL / length - delta)). Fan et al. 2024,
 * https://arxiv.org/abs/2410.07163
 */
import { addScalar, div, logSigmoid, scale } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "simnpo",
  title: "SimNPO",
  about: "NPO by mean likelihood of a token, with no reference model",
  cite: "arXiv:2410.07163",
  laws: EVERY_LAW,
  per: "sequence",
  weights: { forget: 0.125, retain: 1 },
  options: {
    beta: { type: "number > 0", default: 4.5, help: "how soon a forgotten sequence stops counting" },
    delta: { type: "number", default: 0, help: "loss at which it counts half" },
  },
  sequences(rec, { nll, lengths, values: { beta, delta } }) {
    const forgotten = addScalar(rec, div(rec, rowSum(rec, nll), lengths), -delta); // (B)
    return scale(rec, logSigmoid(rec, scale(rec, forgotten, beta)), -2 / beta);
  },
});
