/**
 * Universal weights: how much each model is worth, from the probabilities that the models give the tokens of the data.
 * The first trial merges by the universal weights; further ones, as the budget allows, by those of the best constant
 * mixture, of the Bayes mixture, and by equal weights.
 *
 * Cover 1991, https://doi.org/10.1111/j.1467-9965.1991.tb00002.x, as used by Yamada et al. 2024 for strategies. Weights
 * of a mixture of outputs stand for weights of parameters: the trials say how well that does. A model has one weight,
 * in all layers; parameters that are no weight stay at their defaults.
 */
import { UserError } from "../../errors.ts";
import { defineSearch } from "../../run/searching/contract.ts";
import { defaults, type GeneValues, type Space } from "../../run/searching/space.ts";
import { bestConstantMixture, type MixtureSettings, mixtureAfter } from "../../run/universal-mixture.ts";

/** The point at which every model has its weight, or the nearest of its range. */
const pointOf = (space: Space, weights: ArrayLike<number>): GeneValues =>
  defaults(space).map((value, i) => {
    const gene = space[i]!;
    if (gene.kind !== "real" || gene.weightOf === undefined) return value;
    return Math.min(Math.max(weights[gene.weightOf]!, gene.low), gene.high);
  });

export const method = defineSearch({
  name: "universal",
  title: "Universal weights",
  about: "weights from the probabilities that the models give the data's tokens",
  cite: "doi:10.1111/j.1467-9965.1991.tb00002.x",
  objectives: "any",
  independent: true,
  needs: ["token-losses"],
  options: {
    mixtures: { type: "number.integer >= 1", default: 2048, help: "mixtures that stand for all" },
    discount: { type: "0 < number <= 1", default: 1, help: "what a token counts one token later, as a power" },
  },

  make({ space, models, seed, budget, tokenLosses: losses, values: { mixtures, discount } }) {
    if (!losses) throw new RangeError("universal weights need the losses of tokens");
    if (!space.some((gene) => gene.kind === "real" && gene.weightOf !== undefined))
      throw new UserError("universal finds weights of models, and none varies", "leave --search-space out");
    const settings: MixtureSettings = { kind: "universal", samples: mixtures, discount, seed };
    const { weights, effective } = mixtureAfter(losses, settings);
    const make = [
      () => weights,
      () => bestConstantMixture(losses),
      () => mixtureAfter(losses, { ...settings, kind: "bayes" }).weights,
      () => new Float64Array(models).fill(1 / models),
    ];
    let next = 0;
    return {
      ask: () => (next < Math.min(make.length, budget) ? [{ values: pointOf(space, make[next++]!()) }] : []),
      tell() {},
      notes: () => ({ weights: [...weights], effective_mixtures: effective }),
    };
  },
});
