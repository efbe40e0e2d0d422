/**
 * A model of preferences that need no order: an answer has a vector of 2k numbers, and its score against another one is
 * sum_i (a_i b'_i - a'_i b_i) over the halves a, a' and b, b', which changes its sign with the order of both. So a may
 * be preferred to b, b to c and c to a, which no single number an answer can say; a constant second half is Bradley and
 * Terry's model. The loss of a pair is -log sigmoid(score / tau).
 * Zhang et al. 2024, https://arxiv.org/abs/2410.02197, with --dimension k of the same weight each
 */

import { splitColumns } from "../../../tensor/ops/columns.ts";
import { logSigmoid, mul, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { defineRewardModel } from "../../reward-models/contract.ts";
import { pairMetrics } from "../../reward-models/pair-metrics.ts";

export const method = defineRewardModel({
  name: "reward-pairwise",
  title: "General preference model",
  about: "a pairwise head, whose preferences may run in a circle: no reward of single answers",
  cite: "arXiv:2410.02197",
  reads: "pairs",
  labels: ({ dimension }) => 2 * dimension,
  options: {
    dimension: {
      type: "1 <= number.integer <= 512",
      default: 1,
      help: "planes in which answers are compared; the head has twice as many labels",
      value: "K",
    },
    tau: { type: "number > 0", default: 0.1, help: "divides the score of a pair", value: "TAU" },
  },

  loss(rec, { chosen, rejected, margins, values: { dimension: k, tau } }) {
    const [a, a2] = splitColumns(rec, chosen, [k, k]) as [Tensor, Tensor];
    const [b, b2] = splitColumns(rec, rejected, [k, k]) as [Tensor, Tensor];
    const score = rowSum(rec, sub(rec, mul(rec, a, b2), mul(rec, a2, b))); // (P)
    const apart = scale(rec, score, 1 / tau);
    return { losses: neg(rec, logSigmoid(rec, sub(rec, apart, margins))), metrics: pairMetrics(rec, apart) };
  },
});
