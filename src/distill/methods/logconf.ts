/**
 * Weak-to-strong learning with an auxiliary loss of confidence: the strong student follows its weak teacher p and, in
 * part, its own guess y, so that it may disagree where the teacher errs.
 *
 *   CE(student, (1 - c) p + c y),  c = aux-coef (1 after the warm-up, else the share of the steps that are done)
 *
 * Of two outputs the guess is the second for as many rows of a micro-batch as the teacher's mean says, those where the
 * student gives it most; of more it is the student's likeliest. Targets are held fixed. Burns et al. 2023,
 * https://arxiv.org/abs/2312.09390, appendix A.4; as Yang et al. 2024, https://arxiv.org/abs/2406.11431, use it.
 */

import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { add, addScalar, isPositive, neg, scale, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { mean, rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { CONFIDENT, towards } from "../weak-labels.ts";

/** 1 - x */
const rest = (rec: Recorder, x: Tensor): Tensor => addScalar(rec, neg(rec, x), 1);

/** The student's guesses as rows of 0 and 1, from probabilities (n, V) of both. */
function guesses(rec: Recorder, own: Tensor, weak: Tensor): Tensor {
  const { rows: n, width } = rowsOf(own);
  if (width !== 2) return rest(rec, isPositive(rec, sub(rec, rec.reshape(rowMax(rec, own), [n, 1]), own)));
  const second = (x: Tensor) => splitColumns(rec, x, [1, 1])[1]!; // (n, 1)
  const mine = second(own);
  const larger = isPositive(rec, sub(rec, rec.reshape(mine, [1, n]), mine)); // (n, n) of row i: which rows have more
  const wanted = scale(rec, mean(rec, second(weak)), n - 1);
  const is = isPositive(rec, sub(rec, wanted, rowSum(rec, larger))); // (n)
  const column = rec.reshape(is, [n, 1]);
  return joinColumns(rec, [rest(rec, column), column]);
}

export const method = defineDistillation({
  name: "logconf",
  title: "Confidence beside weak labels",
  about: "a strong student follows a weak teacher and, in part, its own guesses",
  cite: "arXiv:2312.09390",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "it is a cross-entropy, whose least value is the target's entropy",
    gradientIsSlope: "the student's own guesses are held fixed",
    rowsIndependent: "of two outputs the micro-batch says how many guesses there are of each",
    zeroWhereUncounted: "it knows no labels",
  },
  options: {
    aux_coef: {
      type: "0 <= number <= 1",
      default: 0.5,
      help: "share of the student's own guesses; 0: the teacher alone",
    },
    aux_warmup: {
      type: "0 <= number <= 1",
      default: 0.1,
      help: "share of the steps until which it is less, as much of it as there are steps done",
      value: "SHARE",
    },
    confident: CONFIDENT,
  },
  rows(rec, { student, teachers, values: { confident } }) {
    const weak = softmax(rec, teachers[0]!);
    const own = guesses(rec, softmax(rec, stopGradient(rec, student)), weak);
    const target = add(rec, weak, scale(rec, sub(rec, own, weak), dynamic("c")));
    return towards(rec, student, target, { weak, confident });
  },
  adaptive: ({ values: { aux_coef: coefficient, aux_warmup: warmup }, steps }) => ({
    values(step) {
      const done = (step - 1) / steps;
      return { c: coefficient * (done > warmup ? 1 : done) };
    },
    state: () => null,
    load() {},
  }),
});
