/**
 * AltPO: DPO whose wanted answers are other answers that theta0 itself samples, several for every row, so that what is left in place of
 * the forgotten answer is as fluent and as likely a one. Mekala et al. 2024, https://arxiv.org/abs/2409.13474
 */
import { defineObjective, EVERY_LAW } from "../../contract.ts";
import { BETA, preferenceLoss } from "../../preference-loss.ts";

export const method = defineObjective({
  name: "altpo",
  title: "DPO to other answers",
  about: "prefers other answers, sampled from the model as it was, to the one that is to be forgotten",
  cite: "arXiv:2409.13474",
  laws: EVERY_LAW,
  per: "sequence",
  weights: { forget: 1, retain: 1 },
  reference: "likelihoods",
  options: {
    beta: BETA,
    samples: {
      type: "number.integer >= 1",
      default: 5,
      help: "other answers to a row; an epoch takes the row with each of them",
    },
    temperature: { type: "number > 0", default: 1, help: "of sampling them" },
    instruction: {
      type: "string",
      help: "line before the prompt while sampling, such as: Answer with other facts.",
      value: "TEXT",
    },
    answer_tokens: {
      type: "number.integer >= 1",
      help: "most tokens of an answer; the longest answer to forget when left out",
      value: "N",
    },
  },
  alternatives: ({ samples, temperature, instruction, answer_tokens }) => ({
    samples,
    temperature,
    instruction,
    maxTokens: answer_tokens,
  }),
  sequences: (rec, { nll, reference, wanted, values: { beta } }) =>
    preferenceLoss(rec, { nll: wanted!.nll, reference: wanted!.reference! }, { nll, reference: reference! }, beta),
});
