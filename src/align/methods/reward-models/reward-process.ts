/**
 * A reward model of steps: the last token of the separator after each step is told right or wrong, by cross-entropy of
 * two labels; the result is a classifier of tokens.
 * Lightman et al. 2023, https://arxiv.org/abs/2305.20050; Uesato et al. 2022, https://arxiv.org/abs/2211.14275; rows
 * and layout as TRL's
 */
import { correctRows } from "../../../tensor/ops/correct.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { defineRewardModel } from "../../reward-models/contract.ts";

export const method = defineRewardModel({
  name: "reward-process",
  title: "Process reward model",
  about: "a reward model of the steps of answers: every step is told right or wrong",
  cite: "arXiv:2305.20050",
  reads: "steps",
  labels: () => 2,
  options: {
    separator: {
      type: "string",
      default: "\n",
      help: "text after a step, whose last token stands for it",
      value: "TEXT",
    },
  },
  separator: ({ separator }) => separator,

  loss: (rec, { logits, targets }) => ({
    losses: crossEntropy(rec, logits, targets),
    metrics: { accuracy: correctRows(rec, logits, targets) },
  }),
});
