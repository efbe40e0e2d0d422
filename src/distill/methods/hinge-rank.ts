/**
 * Hinge ranking: where the teacher prefers one output to another, the student's probabilities are at least as far
 * apart. As in DistillKit, Goddard and Fernandes Neto 2024, https://github.com/arcee-ai/DistillKit
 *
 *   mean over pairs k before l of the teacher's likeliest:  max(0, m_kl - (q_k - q_l)),  m_kl = p_k - p_l or --margin
 *
 * It draws nothing closer together: a student that is surer than the teacher has no loss.
 */
import { addScalar, neg, sub, unary } from "../../tensor/ops/elementwise.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { differences, rankedPairs, TOP } from "../ranked-pairs.ts";

export const method = defineDistillation({
  name: "hinge-rank",
  title: "Hinge ranking",
  about: "the teacher's likeliest outputs at least as far apart as it has them, pair by pair",
  cite: "https://github.com/arcee-ai/DistillKit",
  laws: {
    ...EVERY_LAW,
    zeroWhereUncounted: "it knows no labels",
  },
  options: {
    top: TOP,
    margin: {
      type: "0 <= number <= 1",
      help: "how far apart every pair is at least, in place of what the teacher says",
      value: "M",
    },
  },
  rows: (rec, { student, teachers, values: { top, margin } }) =>
    rankedPairs(rec, teachers[0]!, top, (at) => {
      const own = differences(rec, at(softmax(rec, student)));
      const lacks =
        margin === undefined
          ? sub(rec, differences(rec, at(softmax(rec, teachers[0]!))), own)
          : addScalar(rec, neg(rec, own), margin);
      return unary(rec, "relu", lacks);
    }),
});
