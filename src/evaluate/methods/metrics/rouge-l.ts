/**
 * Words of the right answer that greedy decoding gives in their order. Lin 2004, https://aclanthology.org/W04-1013
 *
 * TOFU reports recall over 200 new tokens, MUSE F1 over 128 or 32, cut at a blank line: --max-tokens, --stop.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { mean } from "../../measures/means.ts";
import { rougeOf, rougeRecall } from "../../measures/rouge.ts";

export const method = defineMetric({
  name: "rouge-l",
  title: "ROUGE-L recall",
  about: "share of the right answer's words that greedy decoding gives in their order; F1 and single words beside it",
  formula:
    "words of the longest common subsequence of the greedy answer and the right one, divided by the words of the right one; words in lower case and stemmed; mean over rows",
  reads: "prompt and completion; the options --max-tokens and --stop",
  cite: "Lin 2004",
  options: {},
  task: "causal-lm",
  needs: "continued",
  range: [0, 1],
  better: "higher",
  knowledge: "more",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => rougeRecall(rows),
  details(rows) {
    const list = rougeOf(rows);
    return { f1: mean(list.map(({ f1 }) => f1)), "rouge-1 recall": mean(list.map(({ recall1 }) => recall1)) };
  },
});
