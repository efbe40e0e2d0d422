/**
 * Adaptive gradient modulation: of a classifier whose input has several sources, the gradient through what a source has
 * of the logits shrinks where it does better, against the others, than it used to, so that none of them is left behind.
 *
 * Li et al., "Boosting multi-modal model performance with adaptive gradient modulation", ICCV 2023,
 * https://arxiv.org/abs/2308.07686; run/training/source-modulation.ts and run/tracing/sources.ts have the formulas.
 * Here the exponent of a factor is bound to 10 either way. With an alpha of 0 it is plain training, bit for bit.
 */
import { UserError } from "../../../errors.ts";
import { sameClaim } from "../../../method/laws.ts";
import { parseSources } from "../../../run/tracing/sources.ts";
import { defineGradientRule, GRADIENT_RULE_LAWS } from "../../../run/training/gradient-rule.ts";
import { SourceModulation } from "../../../run/training/source-modulation.ts";

export const method = defineGradientRule({
  name: "agm",
  title: "Adaptive gradient modulation",
  about: "of a classifier with several sources of input: the gradient through a source shrinks where it gets ahead",
  cite: "arXiv:2308.07686",
  laws: sameClaim(GRADIENT_RULE_LAWS, "it changes the way back through the model, and no gradient that is made"),
  options: {
    agm_sources: {
      type: "string[]",
      help: "the sources: ranges of a row's numbers, from 0, that take all of them apart: audio=0-15,video=16-31",
      value: "NAME=FIRST-LAST",
    },
    agm_alpha: {
      type: "number >= 0",
      default: 0.5,
      help: "how steeply the factor falls; 0: plain training",
      value: "A",
    },
  },
  modulates({ model, values: { agm_sources: given, agm_alpha: alpha } }) {
    if (!given) throw new UserError("--gradient-rule agm needs --agm-sources", "--agm-sources a=0-3,b=4-7");
    const { example } = model.sizes;
    if (model.task !== "classifier" || !example)
      throw new UserError("--gradient-rule agm is for classifiers of numbers, whose sources are ranges of them");
    const sources = parseSources(
      given,
      example.reduce((a, b) => a * b, 1),
      "--agm-sources",
    );
    return alpha === 0 ? undefined : new SourceModulation(model.gpu, sources, alpha);
  },
});
