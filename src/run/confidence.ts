/**
 * How sure a distribution is, from 0 for all outcomes alike to 1 for one alone. Zeng et al., Mixture of Weak and Strong
 * Experts on Graphs, 2024, https://arxiv.org/abs/2311.05185, section 2.2.
 */

/** variance: that of the probabilities, by that of a sure answer. entropy: what it lacks of the largest. */
export type Dispersion = "variance" | "entropy";

/** D(p)^alpha of the softmax of finite logits; -Infinity is an outcome without probability. One outcome is sure. */
export function confidence(logits: ArrayLike<number>, kind: Dispersion, alpha: number): number {
  const count = logits.length;
  if (count === 1) return 1;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) most = Math.max(most, logits[i]!);
  let [sum, squares, weighted] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const gap = logits[i]! - most;
    const share = Math.exp(gap);
    sum += share;
    squares += share * share;
    if (share > 0) weighted += share * gap;
  }
  const spread =
    kind === "variance"
      ? (squares / (sum * sum) - 1 / count) / (1 - 1 / count)
      : 1 - (Math.log(sum) - weighted / sum) / Math.log(count);
  return Math.min(1, Math.max(0, spread)) ** alpha;
}
