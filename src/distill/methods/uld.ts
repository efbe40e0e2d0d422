/**
 * Universal logit distillation: the sum over ranks of the distance between probabilities, the likeliest of one beside
 * the likeliest of the other, so that teacher and student need share no token. Boizard et al. 2024,
 * https://arxiv.org/abs/2402.12030
 *
 * It says how certain to be and between how many, not of what; the labels say of what. Rows are compared where both
 * tokenizers have read the same text up to the end of a token; elsewhere the labels alone count. The paper compares the
 * i-th token with the i-th, which after the first difference is another place.
 */
import { sortedGap } from "../../tensor/ops/sorted-gap.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { otherVocabulary } from "../other-vocabulary.ts";

export const method = defineDistillation({
  name: "uld",
  title: "Universal logit distillation",
  about: "distance of sorted probabilities beside the labels, for a teacher with another tokenizer",
  cite: "arXiv:2402.12030",
  laws: EVERY_LAW,
  needs: [otherVocabulary],
  weights: { distill: 1.5, labels: 1 },
  options: {},
  rows: (rec, { student, teachers, targets }) => sortedGap(rec, student, teachers[0]!, targets),
});
