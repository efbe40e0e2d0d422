/**
 * A regular expression that matches somewhere in the answer. A group named `answer` has to catch what the row's answer
 * is, as harnesses for evaluation extract it: `regex:#### (?<answer>-?\d+)`. Common practice.
 */
import { defineVerifier, each } from "../../verifying/contract.ts";
import { patternOf } from "../../verifying/pattern.ts";
import { truthsOf } from "../../verifying/truth.ts";

export const method = defineVerifier({
  name: "regex",
  title: "Regular expression",
  about: "1 where a regular expression matches, and its group named answer, if it has one, is the row's answer",
  cite: "common practice",
  laws: { alone: true, truth: "an expression says nothing of completions", range: true },
  range: [0, 1],
  options: {},
  argument: { value: "REGEX", help: "matches somewhere in the answer", required: true },
  trial: "\\d$",
  make(setup) {
    const pattern = patternOf(setup, setup.text);
    const compares = /(?<!\\)\(\?<answer>/.test(setup.text);
    return each((answered) => {
      const truths = compares ? truthsOf(answered) : [];
      if (compares && truths.length === 0) return null;
      const found = pattern.exec(answered.answer);
      if (!found) return 0;
      return !compares || truths.includes(found.groups?.answer?.trim() ?? "") ? 1 : 0;
    });
  },
});
