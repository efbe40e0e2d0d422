/**
 * The right number: 1 where the last number of the answer equals that of the row's answer, as graders of GSM8K read it.
 * Cobbe et al. 2021, https://arxiv.org/abs/2110.14168
 *
 * Numbers are compared exactly, as they are written: 1,234.50 is 1234.5, and long sums keep every digit.
 */
import { defineVerifier, each } from "../../verifying/contract.ts";
import { near, numbersIn, TOLERANCE } from "../../verifying/rational.ts";
import { behind, truthsOf } from "../../verifying/truth.ts";

export const method = defineVerifier({
  name: "number",
  title: "Equal number",
  about: "1 where the last number of the answer is that of the row's answer",
  cite: "arXiv:2110.14168",
  laws: { alone: true, truth: true, range: true },
  range: [0, 1],
  options: {
    tolerance: TOLERANCE,
    which: { type: "'last' | 'first' | 'only'", default: "last", help: "number that counts; only: there is no other" },
    key: {
      type: "string",
      value: "KEY",
      help: "key of the row with the right answer; answer or completion when left out",
    },
    after: { type: "string", value: "MARK", help: "read what stands behind the last of this, such as ####" },
  },
  make: ({ values: { tolerance, which, key, after } }) =>
    each((answered) => {
      const wanted = truthsOf(answered, key)
        .map((truth) => numbersIn(behind(truth, after) ?? truth).at(-1))
        .find((number) => number !== undefined);
      if (wanted === undefined) return null;
      const numbers = numbersIn(behind(answered.answer, after) ?? "");
      if (which === "only" && numbers.length !== 1) return 0;
      const found = which === "first" ? numbers[0] : numbers.at(-1);
      return found !== undefined && near(found, wanted, tolerance) ? 1 : 0;
    }),
});
