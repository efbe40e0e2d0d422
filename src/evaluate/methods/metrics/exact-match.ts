/** Share of prompts whose greedy continuation is the expected text. */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { mean } from "../../measures/means.ts";

export const method = defineMetric({
  name: "exact-match",
  title: "Exact match",
  about: "share of prompts that greedy decoding continues with exactly the completion",
  formula: "rows whose greedy answer equals the completion, without spaces around either, divided by all rows",
  reads: "prompt and completion; the option --stop",
  cite: "arXiv:1606.05250",
  options: {},
  task: "causal-lm",
  needs: "generated",
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
  value: (rows) =>
    mean(
      rows.flatMap(({ generated }) =>
        generated ? [generated.found.trim() === generated.expected.trim() ? 1 : 0] : [],
      ),
    ),
});
