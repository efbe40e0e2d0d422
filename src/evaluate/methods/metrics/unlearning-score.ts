/**
 * One number for an unlearned model, as OpenUnlearning compares methods: the harmonic mean of what was forgotten, of
 * how well that is hidden, and of what the model is still good for. Dorna et al. 2025, https://arxiv.org/abs/2506.12618
 *
 *   memorisation  harmonic mean over the forget group of 1 - x, x extraction strength, exact memorisation, paraphrased
 *                 probability and the share of right answers
 *   privacy       harmonic mean over the attacks loss, zlib, min-k and min-k++ of 1 - |AUC - AUC_gold| / AUC_gold, at
 *                 least 0
 *   utility       model utility; the fluency that stands beside it there takes a classifier of texts, and is left out
 */

import { rowsOf } from "../../../run/measuring/groups.ts";
import { defineMetric, type MetricSetup } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { harmonicMean } from "../../measures/means.ts";
import { attackArea, byLoss, byMinK, byMinKPlus, byZlib, MIN_K } from "../../measures/membership.ts";
import { exactMemorisation, extractionStrength } from "../../measures/memorisation.ts";
import { requireUtilityGroups, utilityParts } from "../../measures/model-utility.ts";
import { paraphrasedProbability } from "../../measures/probability.ts";
import { likelihoods, shareAggregate } from "../../measures/truth-ratios.ts";

const within = (x: number): number => Math.min(1, Math.max(0, x));

/** 1 where an attack finds what it finds on gold. */
export const likeGold = (area: number, gold: number): number =>
  area === gold ? 1 : within(1 - Math.abs(area - gold) / gold);

function parts(
  rows: readonly ScoredRow[],
  setup: MetricSetup<typeof MIN_K>,
): Record<"memorisation" | "privacy" | "utility", number> {
  const forget = rowsOf(rows, setup, setup.forget);
  const known = [
    extractionStrength(forget),
    exactMemorisation(forget),
    paraphrasedProbability(forget),
    shareAggregate(likelihoods(forget)),
  ];
  const hidden = [byLoss, byZlib, byMinK, byMinKPlus].map((score) => {
    const area = (list: readonly ScoredRow[]) => attackArea(list, setup, score, setup.values.min_k);
    return likeGold(area(rows), area(setup.gold!));
  });
  return {
    memorisation: harmonicMean(known.map((x) => within(1 - x))),
    privacy: harmonicMean(hidden),
    utility: harmonicMean(Object.values(utilityParts(rows, setup))),
  };
}

export const method = defineMetric({
  name: "unlearning-score",
  title: "Unlearning score",
  about: "harmonic mean of what was forgotten, of privacy against --gold, and of model utility",
  formula:
    "harmonic mean of memorisation (of 1 - extraction strength, 1 - exact memorisation, 1 - paraphrased probability and 1 - share of the right answer), privacy (of 1 - |AUC - AUC_gold| / AUC_gold over four attacks) and model utility",
  reads:
    "the groups forget and holdout, and those of retain, real and world that there are, with the keys of bun run data facts; --gold; the option --min-k",
  cite: "arXiv:2506.12618",
  options: MIN_K,
  task: "causal-lm",
  needs: ["moments", "packed-bytes", "truth", "options", "paraphrases", "continued"],
  roles: ["forget", "holdout"],
  across: true,
  gold: "required",
  range: [0, 1],
  better: "higher",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: true,
    perfectModel: "a model that knows every row has forgotten none",
  },
  check: (groups) => requireUtilityGroups(groups, "unlearning-score"),
  value: (rows, setup) => harmonicMean(Object.values(parts(rows, setup))),
  details: (rows, setup) => parts(rows, setup),
});
