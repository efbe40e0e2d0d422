/**
 * Several teachers as one: the student learns the mean of their logits, or of their probabilities. Over backbones that
 * were pre-trained apart, the mean takes away the bias that each brings along: P(y | do(x)) = sum_m P(m) P(y | x, m).
 * Chen et al., Rethinking the Bias of Foundation Model under Long-tailed Distribution, ICML 2025,
 * https://arxiv.org/abs/2501.15955
 *
 *   loss   T^2 KL(softmax(mean_m z_m / T) || softmax(student / T))
 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { mixedLogits } from "../../tensor/ops/mixture.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";

export const method = defineDistillation({
  name: "logit-ensemble",
  title: "Mean of several teachers",
  about: "forward KL to the mean of several teachers' logits, or of their probabilities",
  cite: "arXiv:2501.15955",
  laws: EVERY_LAW,
  teachers: [1, 8],
  options: {
    average: { type: "'logits' | 'probabilities'", default: "logits", help: "what the teachers' mean is taken of" },
    temperature: TEMPERATURE,
  },
  rows(rec, { student, teachers, targets, values: { average, temperature } }) {
    const shares = teachers.map((logits) => ({ logits, weight: 1 / teachers.length }));
    return divergence(rec, student, mixedLogits(rec, average, shares), targets, { kind: "forward-kl", temperature });
  },
});
