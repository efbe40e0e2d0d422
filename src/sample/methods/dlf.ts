/**
 * Dynamic logit fusion: the changes that small experts learned, added to a large model with a strength that is chosen
 * anew for every token,
 *
 *   log p~ = log p_L + alpha (log p_E - log p_S) - log Z,
 *
 * so that the large model is moved as far as the small one was. Of all strengths on a grid, and of all experts one at a
 * time, that which is least in
 *
 *   sum over experts E of [KL(p_L || p~) - KL(p_S || p_E)]^2 + [KL(p~ || p_L) - KL(p_E || p_S)]^2
 *
 * Fan et al. 2024, https://arxiv.org/abs/2406.15480
 */
import { defineDecoder } from "../../run/combining/contract.ts";
import { divergence, logProbabilities, logRatios } from "../../run/combining/log-probabilities.ts";

/** How far one distribution lies from another, in both directions. */
interface Distances {
  readonly there: number;
  readonly back: number;
}

/** KL(p || p~) and KL(p~ || p) of p~ = p exp(alpha change) / Z; both from one pass over the tokens. */
function moved(logs: Float64Array, change: Float64Array, alpha: number): Distances {
  let most = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logs.length; id++) most = Math.max(most, logs[id]! + alpha * change[id]!);
  let [sum, before, after] = [0, 0, 0];
  for (let id = 0; id < logs.length; id++) {
    const log = logs[id]!;
    if (log === Number.NEGATIVE_INFINITY) continue;
    const weight = Math.exp(log + alpha * change[id]! - most);
    sum += weight;
    before += Math.exp(log) * change[id]!;
    after += weight * change[id]!;
  }
  const total = most + Math.log(sum);
  return { there: total - alpha * before, back: (alpha * after) / sum - total };
}

export const method = defineDecoder({
  name: "dlf",
  title: "Dynamic logit fusion",
  about: "moves a large model at every token as far as fine-tuning moved a small one",
  cite: "arXiv:2406.15480",
  options: {
    dlf_alpha: { type: "number", help: "the strength for all tokens, in the place of a search", value: "A" },
    dlf_most: { type: "number > 0", default: 2, help: "largest strength of the search; it begins at 0", value: "A" },
    dlf_points: { type: "number.integer >= 1", default: 20, help: "strengths that are tried above 0", value: "N" },
  },
  laws: { shiftFree: true, alike: true, whole: true },
  models: [3, Number.POSITIVE_INFINITY],
  roles: "the large model, then --with each small expert, last --with the small model that they were tuned from",

  make({ values: { dlf_alpha: fixed, dlf_most: most, dlf_points: points }, models }) {
    const grid = fixed === undefined ? Array.from({ length: points + 1 }, (_, i) => (i * most) / points) : [fixed];
    return {
      views: models.map((_, model) => ({ model })),
      begin: () => (said, place) => {
        const [large, ...others] = said.map((logits) => logProbabilities(logits));
        const small = others.at(-1)!;
        const experts = others.slice(0, -1);
        const changes = experts.map((expert) => logRatios(expert, small));
        const wanted = experts.map((expert) => ({ there: divergence(small, expert), back: divergence(expert, small) }));
        let best = { alpha: 0, expert: 0, objective: Number.POSITIVE_INFINITY };
        for (const [expert, change] of changes.entries())
          for (const alpha of grid) {
            const { there, back } = moved(large!, change, alpha);
            const objective = wanted.reduce((sum, far) => sum + (there - far.there) ** 2 + (back - far.back) ** 2, 0);
            if (objective < best.objective) best = { alpha, expert, objective };
          }
        for (const [name, value] of Object.entries(best)) place.note(name, value);
        return large!.map((x, id) => x + best.alpha * changes[best.expert]![id]!);
      },
    };
  },
});
