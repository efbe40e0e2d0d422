/**
 * Weak-to-strong learning from a product: the target is proportional to q^beta p^alpha, the student's own probabilities
 * q and its weak teacher's p, and is held fixed; the loss is the cross-entropy to it. Burns et al. 2023,
 * https://arxiv.org/abs/2312.09390, in their code's losses; as Yang et al. 2024, https://arxiv.org/abs/2406.11431.
 */
import { add, scale, stopGradient } from "../../tensor/ops/elementwise.ts";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { CONFIDENT, towards } from "../weak-labels.ts";

export const method = defineDistillation({
  name: "product",
  title: "Product with weak labels",
  about: "a strong student follows the product of its own and a weak teacher's probabilities",
  cite: "arXiv:2312.09390",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "it is a cross-entropy, whose least value is the target's entropy",
    gradientIsSlope: "the target follows the student and is held fixed",
    zeroWhereUncounted: "it knows no labels",
  },
  options: {
    alpha: { type: "number >= 0", default: 1, help: "power of the teacher's probabilities" },
    beta: { type: "number >= 0", default: 1, help: "power of the student's own" },
    confident: CONFIDENT,
  },
  rows(rec, { student, teachers, values: { alpha, beta, confident } }) {
    const weak = teachers[0]!;
    const own = scale(rec, logSoftmax(rec, stopGradient(rec, student)), beta);
    const target = softmax(rec, add(rec, own, scale(rec, logSoftmax(rec, weak), alpha)));
    return towards(rec, student, target, { weak: softmax(rec, weak), confident });
  },
});
