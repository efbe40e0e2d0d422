/**
 * Mowst: a cascade's two models are trained in turn, each on what the other leaves to it. Zeng et al., Mixture of Weak
 * and Strong Experts on Graphs, 2024, https://arxiv.org/abs/2311.05185, equation 1.
 *
 *   c CE(weak, label) + (1 - c) CE(strong, label)      c = D(weak)^alpha, held fixed
 *
 * D is the variance of the weak model's probabilities as a share of a sure answer's, or what their entropy lacks of the
 * largest. `--role strong` trains the strong model beside a frozen weak teacher, `--role weak` the other way about;
 * runs of the two follow one another. `sample --cascade` writes with both.
 */
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { rowEntropy } from "../../tensor/ops/distribution.ts";
import {
  add,
  addScalar,
  clamp,
  exp,
  log,
  mul,
  neg,
  scale,
  square,
  stopGradient,
} from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";

/** D(p)^alpha of rows of logits, without a gradient: (n, V) -> (n), from 0 to 1. */
function sureness(rec: Recorder, logits: Tensor, conf: "variance" | "entropy", alpha: number): Tensor {
  const fixed = stopGradient(rec, logits);
  const outputs = logits.shape.at(-1)!;
  if (outputs === 1) return addScalar(rec, scale(rec, rowSum(rec, fixed), 0), 1);
  const spread =
    conf === "variance"
      ? scale(rec, addScalar(rec, rowSum(rec, square(rec, softmax(rec, fixed))), -1 / outputs), 1 / (1 - 1 / outputs))
      : addScalar(rec, scale(rec, rowEntropy(rec, fixed), -1 / Math.log(outputs)), 1);
  return exp(rec, scale(rec, log(rec, clamp(rec, spread, 1e-30, 1)), alpha));
}

export const method = defineDistillation({
  name: "mowst",
  title: "Mixture of weak and strong experts",
  about:
    "the labels' cross-entropy where a weak teacher is not sure: the strong model of a cascade, or by --role the weak",
  cite: "arXiv:2311.05185",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "it is the cross-entropy of the labels",
    gradientIsSlope: "the confidence of a weak student is held fixed",
  },
  options: {
    role: {
      type: "'strong' | 'weak'",
      default: "strong",
      help: "which model of the cascade the student is; the teacher is the other",
    },
    conf: { type: "'variance' | 'entropy'", default: "variance", help: "how sure the weak model is" },
    alpha: { type: "number >= 0", default: 1, help: "power of that: above 1 the strong model learns more", value: "A" },
  },
  rows(rec, { student, teachers, targets, values: { role, conf, alpha }, note }) {
    const [weak, strong] = role === "strong" ? [teachers[0]!, student] : [student, teachers[0]!];
    const sure = sureness(rec, weak, conf, alpha);
    note("confidence", sure);
    const rest = addScalar(rec, neg(rec, sure), 1);
    return add(
      rec,
      mul(rec, sure, crossEntropy(rec, weak, targets)),
      mul(rec, rest, crossEntropy(rec, strong, targets)),
    );
  },
});
