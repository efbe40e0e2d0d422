/**
 * Root mean squared error of the numbers that greedy decoding writes, in tokens of digits (12.3 is _1_1__2_0__3_-1_) or
 * as they are usually written; with the rank correlation, and the share of answers that are no numbers.
 *
 * Born & Manica 2023, https://arxiv.org/abs/2202.01338. They leave answers that are no numbers open; here the mean of
 * the right ones stands for each, as that is what saying nothing amounts to.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { rankCorrelation } from "../../../run/probing/rank-correlation.ts";
import { mean } from "../../measures/means.ts";
import { type WrittenNumber, writtenNumbers } from "../../measures/written-numbers.ts";

/** Right numbers, what was written for each, and how many of those stand for answers that are none. */
function pairsOf(numbers: readonly WrittenNumber[]) {
  const expected = numbers.map((number) => number.expected);
  const middle = mean(expected);
  return {
    expected,
    found: numbers.map(({ found = middle }) => found),
    unread: mean(numbers.map(({ found }) => (found === undefined ? 1 : 0))),
  };
}

export const method = defineMetric({
  name: "number-error",
  title: "Error of written numbers",
  about: "root mean squared error of the numbers that greedy decoding writes, with their rank correlation",
  formula:
    "root of the mean squared difference of the number in the greedy answer and the one in the completion; the mean of the right ones for an answer that is none",
  reads: "prompt and completion, whose completion is a number; the options --max-tokens and --stop",
  cite: "arXiv:2202.01338",
  options: {},
  task: "causal-lm",
  needs: "generated",
  range: [0, Number.POSITIVE_INFINITY],
  better: "lower",
  knowledge: "less",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value(rows) {
    const { expected, found } = pairsOf(writtenNumbers(rows));
    return Math.sqrt(mean(expected.map((value, i) => (value - found[i]!) ** 2)));
  },
  details(rows) {
    const { expected, found, unread } = pairsOf(writtenNumbers(rows));
    return { spearman: rankCorrelation(found, expected), unread };
  },
});
