/**
 * Logistic ranking: the student's logits stand in the order of the teacher's. As in DistillKit, Goddard and Fernandes
 * Neto 2024, https://github.com/arcee-ai/DistillKit; the loss of pairs is RankNet's, Burges et al., ICML 2005.
 *
 *   mean over pairs k before l of the teacher's likeliest:  log(1 + exp(-(z_k - z_l)))
 *
 * It knows the teacher's order alone, not how far apart two outputs are.
 */

import { neg } from "../../tensor/ops/elementwise.ts";
import { softplus } from "../../tensor/ops/label-gap.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { differences, rankedPairs, TOP } from "../ranked-pairs.ts";

export const method = defineDistillation({
  name: "logistic-rank",
  title: "Logistic ranking",
  about: "the student's logits in the order of the teacher's likeliest outputs, pair by pair",
  cite: "https://github.com/arcee-ai/DistillKit",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "a pair in the right order still has the loss of a logistic regression",
    zeroWhereUncounted: "it knows no labels",
  },
  options: { top: TOP },
  rows: (rec, { student, teachers, values: { top } }) =>
    rankedPairs(rec, teachers[0]!, top, (at) => softplus(rec, neg(rec, differences(rec, at(student))))),
});
