/**
 * Generalised Jensen-Shannon divergence of GKD: b KL(p || m) + (1 - b) KL(q || m), m = b p + (1 - b) q. Agarwal et al.,
 * ICLR 2024, https://arxiv.org/abs/2306.13649
 *
 * It vanishes at both ends: JSD / b tends to forward KL as b goes to 0, JSD / (1 - b) to reverse KL as b goes to 1. GKD
 * takes 0 and 1 for the two KLs themselves, and so does this file; --jsd-scale divides by min(b, 1 - b), which makes
 * the way there smooth.
 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { scale } from "../../tensor/ops/elementwise.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";
import { teacherCache } from "../teacher-cache.ts";

export const method = defineDistillation({
  name: "jsd",
  title: "Generalised JSD",
  about:
    "beta, the teacher's weight: forward KL at 0, reverse KL at 1, small near both without --jsd-scale; --on-policy: GKD",
  cite: "arXiv:2306.13649",
  laws: EVERY_LAW,
  needs: [teacherCache],
  options: {
    beta: { type: "0 <= number <= 1", default: 0.5, help: "weight of the teacher in the mixture", value: "B" },
    jsd_scale: { type: "boolean", default: false, help: "divide by min(beta, 1 - beta)" },
    temperature: TEMPERATURE,
  },
  rows(rec, { student, teachers, targets, values: { beta, jsd_scale, temperature } }) {
    const kind = beta === 0 ? "forward-kl" : beta === 1 ? "reverse-kl" : "jsd";
    const loss = divergence(rec, student, teachers[0]!, targets, { kind, a: beta, temperature });
    return jsd_scale && kind === "jsd" ? scale(rec, loss, 1 / Math.min(beta, 1 - beta)) : loss;
  },
});
