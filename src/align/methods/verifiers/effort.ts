/**
 * Effort: 1 of a right answer that keeps to the share of its usual length that its prompt asked for, else 0. With the
 * largest share of --effort-range a right answer may be of any length. e1: Learning Adaptive Control of Reasoning
 * Effort, 2025, https://arxiv.org/abs/2510.27042
 */
import { defineVerifier } from "../../verifying/contract.ts";

export const method = defineVerifier({
  name: "effort",
  title: "Effort",
  about: "1 of a right answer within the share of the usual length that its prompt asked for (--effort-range)",
  cite: "arXiv:2510.27042",
  laws: { alone: true, truth: "a completion may be longer than was asked for", range: true },
  range: [0, 1],
  options: {
    by: { type: "string", default: "exact", value: "VERIFIER", help: "what says which answers are right" },
  },
  async make({ values: { by }, judge }) {
    const verifier = await judge(by);
    return {
      async score(answers, signal) {
        const rights = await verifier.score(answers, signal);
        return answers.map(({ effort, tokens }, i) => {
          const right = rights[i]!;
          if (right === null || effort === undefined || tokens === undefined) return null;
          return right >= 1 && tokens <= effort.most ? 1 : 0;
        });
      },
    };
  },
});
