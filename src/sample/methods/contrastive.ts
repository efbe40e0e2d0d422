/**
 * Contrastive decoding: what an expert says that an amateur does not. Of the tokens to which the expert gives at least
 * a share of its largest probability (the plausible ones), the next is drawn from
 *
 *   (1 + beta) log p_expert - beta log p_amateur
 *
 * Li et al. 2023, https://arxiv.org/abs/2210.15097, in the form of O'Brien and Lewis 2023,
 * https://arxiv.org/abs/2309.09117.
 */
import { defineDecoder } from "../../run/combining/contract.ts";
import { logProbabilities, logRatios, plausible } from "../../run/combining/log-probabilities.ts";

export const method = defineDecoder({
  name: "contrastive",
  title: "Contrastive decoding",
  about: "what an expert says and an amateur does not, among tokens that the expert finds plausible",
  cite: "arXiv:2309.09117",
  options: {
    contrastive_beta: {
      type: "number >= 0",
      default: 0.5,
      help: "how far the amateur is left behind; 0: the expert",
      value: "B",
    },
    contrastive_plausible: {
      type: "0 <= number <= 1",
      default: 0.1,
      help: "share of the expert's largest probability that a token must have of the expert; 0: all tokens",
      value: "A",
    },
  },
  laws: {
    shiftFree: true,
    alike: "tokens that are not plausible are left out",
    whole: "tokens that are not plausible are left out",
  },
  models: [2, 2],
  roles: "the expert, then --with its amateur",
  make: ({ values: { contrastive_beta: beta, contrastive_plausible: share } }) => ({
    views: [{ model: 0 }, { model: 1 }],
    begin: () => (said) => {
      const expert = logProbabilities(said[0]!);
      const more = logRatios(expert, logProbabilities(said[1]!));
      return plausible(expert, share).map((x, id) => (x === Number.NEGATIVE_INFINITY ? x : x + beta * more[id]!));
    },
  }),
});
