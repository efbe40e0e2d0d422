/**
 * Share of tokens that are the most likely ones given the right ones before them, without the end of the text; mean
 * over rows.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { exactMemorisation } from "../../measures/memorisation.ts";

export const method = defineMetric({
  name: "exact-memorisation",
  title: "Exact memorisation",
  about: "share of an answer's tokens that are the most likely ones, without its end; mean over rows",
  formula:
    "of every row the tokens that are the most likely ones after the right ones before them, divided by its tokens; then the mean over rows",
  reads: "the tokens that count of every row, without the end of the text",
  cite: "arXiv:2205.10770",
  options: {},
  task: "causal-lm",
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
  value: (rows) => exactMemorisation(rows),
});
