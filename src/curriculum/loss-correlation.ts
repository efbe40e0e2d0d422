/**
 * Which groups of text are worth training on, from how losses of models that others trained go with how well these do.
 * Thrush, Potts and Hashimoto 2024, Improving Pretraining Data Using Perplexity Correlations,
 * https://arxiv.org/abs/2409.05816
 *
 *   gamma_j = sum over pairs of models k, l of sign(y_k - y_l) (rank_j(k) - rank_j(l)), over its largest value
 *
 * y is a model's score, and rank_j the place of its likelihood of group j among the models, the least first.
 */
import { ranksOf, spearman } from "./mixtures.ts";

export type Estimator = "sign-rank" | "spearman";

/**
 * How likelihoods of a group go with scores, -1 to 1: 1 where the model of less loss always does better. `losses` and
 * `scores` have an entry for each model, of which there are two at least.
 */
export function lossCorrelation(losses: readonly number[], scores: readonly number[], by: Estimator): number {
  const likelihoods = losses.map((loss) => -loss);
  if (by === "spearman") return spearman(likelihoods, scores) || 0; // nothing where all losses are alike
  const ranks = ranksOf(likelihoods);
  const n = losses.length;
  let sum = 0;
  for (const [k, rank] of ranks.entries())
    for (const [l, other] of ranks.entries()) sum += Math.sign(scores[k]! - scores[l]!) * (rank - other);
  // Of two lists in the same order: sum over pairs of |k - l|.
  return sum / ((n * (n * n - 1)) / 3);
}

/**
 * Shares of a budget: the groups of the largest correlation first, each up to its size, until the budget is spent. This
 * maximises sum_j gamma_j theta_j where theta_j is at most size_j / budget. Equal correlations share in proportion to
 * their sizes. Groups must hold the budget.
 */
export function bestShares(correlations: readonly number[], sizes: readonly number[], budget: number): number[] {
  const shares = correlations.map(() => 0);
  let left = budget;
  for (const level of [...new Set(correlations)].sort((a, b) => b - a)) {
    const places = [...correlations.keys()].filter((j) => correlations[j] === level);
    const there = places.reduce((sum, j) => sum + sizes[j]!, 0);
    const taken = Math.min(left, there);
    for (const j of places) shares[j] = there > 0 ? (taken * sizes[j]!) / there / budget : 0;
    left -= taken;
  }
  return shares;
}
