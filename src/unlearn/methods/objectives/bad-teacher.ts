/**
 * Bad teacher: KL(p_bad || p) on the rows to forget, p_bad of the same network with weights that never learnt, and
 * KL(p_theta0 || p) on those to keep. Chundawat et al., AAAI 2023, https://arxiv.org/abs/2205.08096
 */
import { divergence } from "../../../tensor/ops/divergence.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "bad-teacher",
  title: "Bad teacher",
  about: "learns from a network that knows nothing on the forget set, and from the model as it was on the retain set",
  cite: "arXiv:2205.08096",
  laws: EVERY_LAW,
  weights: { forget: 1, retain: 1 },
  retain: "kl",
  untrained: true,
  options: {
    teacher_temperature: { type: "number > 0", default: 1, help: "divides the logits on rows to forget", value: "T" },
  },
  rows: (rec, { logits, untrained, targets, values: { teacher_temperature } }) =>
    divergence(rec, logits, untrained(), targets, { kind: "forward-kl", temperature: teacher_temperature }),
});
