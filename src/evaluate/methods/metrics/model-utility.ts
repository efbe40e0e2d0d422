/**
 * What a model is still good for: the harmonic mean of probability, ROUGE-L recall and the retain aggregate of truth
 * ratios, each on rows to keep, on real people and on facts of the world. TOFU, Maini et al. 2024,
 * https://arxiv.org/abs/2401.06121
 *
 * Groups that the data lacks are left out; the details say which numbers went in. Any zero makes it zero.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { harmonicMean } from "../../measures/means.ts";
import { requireUtilityGroups, utilityParts } from "../../measures/model-utility.ts";

export const method = defineMetric({
  name: "model-utility",
  title: "Model utility",
  about: "harmonic mean of probability, ROUGE-L recall and truth ratio over the groups retain, real and world",
  formula:
    "harmonic mean of up to nine numbers: of each group the probability of the answer (among wrong ones on real and world), ROUGE-L recall, and the mean of max(0, 1 - truth ratio)",
  reads:
    "rows of those of the groups retain, real and world that there are, with prompt, completion and perturbed_answer; the options --max-tokens and --stop",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: ["continued", "truth", "options"],
  across: true,
  range: [0, 1],
  better: "higher",
  knowledge: "more",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: true,
    perfectModel: true,
  },
  check: (groups) => requireUtilityGroups(groups, "model-utility"),
  value: (rows, setup) => harmonicMean(Object.values(utilityParts(rows, setup))),
  details: utilityParts,
});
