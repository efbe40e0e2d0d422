/**
 * DistiLLM: skew KL on the data's answers at first, and on the student's own as the held-out loss rises, of which many
 * are used again. Ko et al., ICML 2024, https://arxiv.org/abs/2402.03898
 *
 * The loss is that of `skew-kl`, or of `skew-rkl` with --skew reverse; replay.ts says which rows it sees. The paper's
 * cross-entropy on pre-training text is not here: give it as rows of a mixture.
 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";
import { replayedAnswers } from "../replay.ts";

export const method = defineDistillation({
  name: "distillm",
  title: "DistiLLM",
  about: "skew KL on more and more answers of the student's own while the held-out loss rises, kept and used again",
  cite: "arXiv:2402.03898",
  laws: EVERY_LAW,
  needs: [replayedAnswers],
  options: {
    skew: { type: "'forward' | 'reverse'", default: "forward", help: "skew KL, or skew reverse KL" },
    alpha: { type: "0 <= number < 1", default: 0.1, help: "share of the mixture; 0: the plain divergence", value: "A" },
    temperature: TEMPERATURE,
  },
  rows(rec, { student, teachers, targets, values: { skew, alpha, temperature } }) {
    const kind = skew === "forward" ? "skew-kl" : "skew-rkl";
    return divergence(rec, student, teachers[0]!, targets, { kind, a: alpha, temperature });
  },
});
