/**
 * Punishment of repetition: the share of n-grams of words that occurred before in the answer, below 0. Yeo et al. 2025,
 * https://arxiv.org/abs/2502.03373
 */
import { defineVerifier, each } from "../../verifying/contract.ts";

export const method = defineVerifier({
  name: "repetition",
  title: "Repetition punishment",
  about: "the share of repeated n-grams of words, below 0",
  cite: "arXiv:2502.03373",
  laws: { alone: true, truth: "a completion may repeat itself", range: true },
  range: [-1, 0],
  penalty: "it is 0 or less by itself, so this would reward repetition",
  options: { n: { type: "1 <= number.integer <= 100", default: 3, value: "N", help: "words of an n-gram" } },
  make: ({ values: { n } }) =>
    each(({ answer }) => {
      const words = answer
        .toLowerCase()
        .split(/\s+/)
        .filter((word) => word !== "");
      const total = words.length - n + 1;
      if (total <= 0) return 0;
      const different = new Set(Array.from({ length: total }, (_, i) => words.slice(i, i + n).join(" ")));
      return different.size / total - 1;
    }),
});
