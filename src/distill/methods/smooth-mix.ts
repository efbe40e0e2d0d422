/**
 * An accurate and a robust teacher whose probabilities are mixed: the student learns the mixture. Bai et al. 2023,
 * Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing, https://arxiv.org/abs/2301.12554
 *
 *   target   (1 - alpha) softmax(s_g g) + alpha softmax(s_h h)     g the first teacher, h the second
 *   loss     T^2 KL(softmax(log target / T) || softmax(student / T))
 *
 * Where the margin of h's probabilities is above (1 - alpha) / alpha, g cannot change what the mixture says. alpha is
 * the same for every input; the gate of `merge gate`, which weighs every input, mixes without a student.
 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { mixedLogits } from "../../tensor/ops/mixture.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";

export const method = defineDistillation({
  name: "smooth-mix",
  title: "Accurate and robust teacher, mixed",
  about: "forward KL to the mixed probabilities of two teachers: the first accurate, the second robust",
  cite: "arXiv:2301.12554",
  laws: { ...EVERY_LAW, zeroAtTeacher: "the student need not be as sharp as the mixture" },
  teachers: [2, 2],
  options: {
    alpha: { type: "0 <= number <= 1", default: 0.85, help: "weight of the robust teacher, the second", value: "A" },
    accurate_sharpness: { type: "number > 0", default: 1, help: "factor of the first teacher's logits", value: "S" },
    robust_sharpness: { type: "number > 0", default: 1, help: "factor of the second teacher's logits", value: "S" },
    temperature: TEMPERATURE,
  },
  rows(rec, { student, teachers, targets, values: { alpha, accurate_sharpness, robust_sharpness, temperature } }) {
    const mixed = mixedLogits(rec, "probabilities", [
      { logits: teachers[0]!, weight: 1 - alpha, sharpness: accurate_sharpness },
      { logits: teachers[1]!, weight: alpha, sharpness: robust_sharpness },
    ]);
    return divergence(rec, student, mixed, targets, { kind: "forward-kl", temperature });
  },
});
