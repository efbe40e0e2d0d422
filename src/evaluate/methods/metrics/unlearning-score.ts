/**
 * One number for an unlearned model, as OpenUnlearning compares methods: the harmonic mean of what was forgotten, of how well that
 * is hidden, and of what the model is still good for. Dorna et al. 2025, https://arxiv.org/abs/2506.12618
 *
 *   memorisation  harmonic mean over the forget group of 1 - x, x extraction strength, exact memorisation, paraphrased
 *                 probability and the share of right answers
 *   privacy       harmonic mean over the attacks loss, zlib, min-k and min-k++ of 1 - |AUC - AUC_gold| / AUC_gold, at least 0
 *   utility       model utility; the fluency that stands beside it there takes a classifier of texts, and is left out
 */
import { UserError } from "../../../errors.ts";
import { defineMetric, type Metric, type MetricContext, type ScoredRow } from "../../contract.ts";
import { requireGroup, rowsOf } from "../../membership.ts";
import { method as exactMemorisation } from "./exact-memorisation.ts";
import { method as extractionStrength } from "./extraction-strength.ts";
import { method as byLoss } from "./membership/mia-loss.ts";
import { method as byMinK } from "./membership/mia-min-k.ts";
import { method as byMinKPlus } from "./membership/mia-min-k-plus.ts";
import { method as byZlib } from "./membership/mia-zlib.ts";
import { harmonicMean, method as modelUtility } from "./model-utility.ts";
import { method as paraphrasedProbability } from "./paraphrased-probability.ts";
import { likelihoods, shareAggregate } from "./truth-ratio.ts";

const ATTACKS: readonly Metric[] = [byLoss, byZlib, byMinK, byMinKPlus];

const within = (x: number): number => Math.min(1, Math.max(0, x));

/** 1 where an attack finds what it finds on gold. */
export const likeGold = (area: number, gold: number): number =>
  area === gold ? 1 : within(1 - Math.abs(area - gold) / gold);

function parts(
  rows: readonly ScoredRow[],
  context: MetricContext,
): Record<"memorisation" | "privacy" | "utility", number> {
  const forget = rowsOf(rows, context, context.forget);
  const known = [
    extractionStrength.value(forget, context),
    exactMemorisation.value(forget, context),
    paraphrasedProbability.value(forget, context),
    shareAggregate(likelihoods(forget)),
  ];
  return {
    memorisation: harmonicMean(known.map((x) => within(1 - x))),
    privacy: harmonicMean(ATTACKS.map(({ value }) => likeGold(value(rows, context), value(context.gold!, context)))),
    utility: modelUtility.value(rows, context),
  };
}

export const method = defineMetric({
  name: "unlearning-score",
  title: "Unlearning score",
  about:
    "harmonic mean of memorisation (forgotten), privacy (attacks find what they find on --gold) and model utility; the three beside it",
  cite: "arXiv:2506.12618",
  options: {},
  task: "causal-lm",
  needs: ["moments", "packed-bytes", "truth", "options", "paraphrases", "continued"],
  across: true,
  usesGold: true,
  lower: false,
  check(context) {
    if (!context.gold)
      throw new UserError(
        "--metric unlearning-score compares with a model that never saw the group to forget, but there is none",
        "train one on the retain rows alone and give --gold MODEL",
      );
    requireGroup("unlearning-score", "forget", context);
    requireGroup("unlearning-score", "holdout", context);
    modelUtility.check!(context);
  },
  value: (rows, context) => harmonicMean(Object.values(parts(rows, context))),
  details: (rows, context) => parts(rows, context),
});
