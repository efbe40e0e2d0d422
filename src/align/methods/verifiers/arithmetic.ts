/**
 * The value of the arithmetic in the prompt: 1 where the last number of the answer is it. Needs no answer in the row.
 * Lee et al. 2023, https://arxiv.org/abs/2307.03381
 *
 * The prompt holds one expression of + - * / ^ ( ) and `mod`, and no number outside it; of other prompts nothing is
 * known. Fractions are exact: of 1/3 an answer is right within the tolerance alone.
 */
import { defineVerifier, each } from "../../verifying/contract.ts";
import { evaluated, expressionIn } from "../../verifying/expression.ts";
import { near, numbersIn, TOLERANCE } from "../../verifying/rational.ts";

const backwards = (text: string): string => text.replace(/\d+/g, (digits) => [...digits].reverse().join(""));

export const method = defineVerifier({
  name: "arithmetic",
  title: "Arithmetic",
  about: "1 where the last number of the answer is the value of the expression in the prompt",
  cite: "arXiv:2307.03381",
  laws: { alone: true, truth: true, range: true },
  range: [0, 1],
  options: {
    tolerance: TOLERANCE,
    reversed: { type: "boolean", default: false, help: "answers are written ones first" },
  },
  make: ({ values: { tolerance, reversed } }) =>
    each(({ prompt, answer }) => {
      const expression = expressionIn(prompt);
      const wanted = expression === undefined ? undefined : evaluated(expression);
      if (wanted === undefined) return null;
      const found = numbersIn(reversed ? backwards(answer) : answer).at(-1);
      return found !== undefined && near(found, wanted, tolerance) ? 1 : 0;
    }),
});
