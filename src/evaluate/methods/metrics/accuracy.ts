/** Share of tokens, or of examples, whose most likely output is the right one. */
import { rightTokens, tokens } from "../../../run/scoring/scored-row.ts";
import { defineMetric } from "../../contract.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "accuracy",
  title: "Accuracy",
  about: "share of tokens (or examples) whose most likely output is right",
  cite: "common practice",
  options: {},
  range: [0, 1],
  lower: false,
  knowledge: "more",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => ratio(rows, rightTokens, tokens),
});
