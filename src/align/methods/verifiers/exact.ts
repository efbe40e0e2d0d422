/**
 * Exact match: 1 where the answer is the row's answer or completion, letter for letter but for spaces around it. The
 * verifiable reward of Lambert et al. 2024, https://arxiv.org/abs/2411.15124
 */
import { defineVerifier, each } from "../../verifying/contract.ts";
import { behind, truthsOf } from "../../verifying/truth.ts";

export const method = defineVerifier({
  name: "exact",
  title: "Exact match",
  about: "1 where the answer is the row's answer or completion, spaces around it aside",
  cite: "arXiv:2411.15124",
  laws: { alone: true, truth: true, range: true },
  range: [0, 1],
  options: {
    key: {
      type: "string",
      value: "KEY",
      help: "key of the row with the right answer; answer or completion when left out",
    },
    after: { type: "string", value: "MARK", help: "compare what stands behind the last of this, such as ####" },
  },
  make: ({ values: { key, after } }) =>
    each((answered) => {
      const truths = truthsOf(answered, key);
      if (truths.length === 0) return null;
      const found = behind(answered.answer, after)?.trim();
      return found !== undefined && truths.some((truth) => (behind(truth, after) ?? truth).trim() === found) ? 1 : 0;
    }),
});
