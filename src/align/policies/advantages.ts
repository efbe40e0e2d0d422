/** From rewards to advantages: baselines of groups, standard deviations, whitening. All in f64, on the host. */
import type { Advantages, Rewarded } from "./contract.ts";

/** Groups whose rewards differ by less have none. */
const EQUAL = 1e-6;

const sumOf = (x: ArrayLike<number>): number => Array.from(x).reduce((a, b) => a + b, 0);
export const meanOf = (x: ArrayLike<number>): number => (x.length === 0 ? 0 : sumOf(x) / x.length);

/** Unbiased, as TRL takes it; 0 of a single value. */
export function deviationOf(x: ArrayLike<number>): number {
  if (x.length < 2) return 0;
  const mean = meanOf(x);
  return Math.sqrt(sumOf(Array.from(x, (value) => (value - mean) ** 2)) / (x.length - 1));
}

/** The values of each group in turn. */
export const groupsIn = (x: Float64Array, group: number): Float64Array[] =>
  Array.from({ length: Math.floor(x.length / group) }, (_, i) => x.subarray(i * group, (i + 1) * group));

/** Whether the answers of a group were worth different amounts. */
export const differs = (rewards: Float64Array): boolean => deviationOf(rewards) >= EQUAL;

/** Rewards less their penalties, with --kl-in reward. */
export const penalized = ({ rewards, penalties }: Pick<Rewarded, "rewards" | "penalties">): Float64Array =>
  penalties ? rewards.map((reward, row) => reward - sumOf(penalties[row]!)) : rewards;

/** Sums of terms times weights, of the terms that were scored. */
export const weightedSums = ({ terms, weights }: Pick<Rewarded, "terms" | "weights">): Float64Array =>
  Float64Array.from(terms, (row) => row.reduce<number>((sum, value, k) => sum + (value ?? 0) * weights[k]!, 0));

/** Every term normalised within its groups, then weighed and added; terms that were not scored add nothing. */
function normalizedSums({ terms, weights, group, values: { advantage_eps: eps } }: Rewarded): Float64Array {
  const sums = new Float64Array(terms.length);
  for (const [k, weight] of weights.entries()) {
    for (let from = 0; from < terms.length; from += group) {
      const own = terms.slice(from, from + group).map((row) => row[k] ?? null);
      const scored = own.filter((value) => value !== null);
      const [mean, deviation] = [meanOf(scored), deviationOf(scored)];
      for (const [i, value] of own.entries())
        if (value !== null) sums[from + i]! += (weight * (value - mean)) / (deviation + eps);
    }
  }
  return sums;
}

/** Values less their mean, over their standard deviation. */
export function whitened(x: Float64Array, eps: number): Float64Array {
  const [mean, deviation] = [meanOf(x), deviationOf(x)];
  return x.map((value) => (value - mean) / (deviation + eps));
}

/**
 * GRPO's: rewards less the mean of their group, over the standard deviation that --scale-rewards names. Shao et al.
 * 2024, https://arxiv.org/abs/2402.03300
 */
export function groupRelative(given: Rewarded): Float64Array {
  const { group, values } = given;
  const { scale_rewards: by, combine, advantage_eps: eps } = values;
  if (combine === "normalized") return whitened(normalizedSums(given), eps);
  const rewards = penalized(given);
  const whole = deviationOf(rewards);
  const advantages = rewards.slice();
  for (const own of groupsIn(advantages, group)) {
    const [mean, deviation] = [meanOf(own), by === "group" ? deviationOf(own) : by === "batch" ? whole : 0];
    const isEqual = !differs(own);
    for (const [i, reward] of own.entries())
      own[i] = isEqual ? 0 : by === "none" ? reward - mean : (reward - mean) / (deviation + eps);
  }
  return advantages;
}

/** Rewards less the mean of the others of their list; alone, as they are. */
export function leaveOneOut(rewards: Float64Array): Float64Array {
  const [n, sum] = [rewards.length, sumOf(rewards)];
  if (n < 2) return rewards.slice();
  return differs(rewards) ? rewards.map((reward) => reward - (sum - reward) / (n - 1)) : new Float64Array(n);
}

/** Advantages, whitened over the rollout where --whiten says so: over answers, or over all tokens. */
export function finished(advantages: Advantages, { whiten, advantage_eps: eps }: Rewarded["values"]): Advantages {
  if (!whiten) return advantages;
  const all = Float64Array.from(advantages.flatMap((own) => (typeof own === "number" ? [own] : [...own])));
  const white = whitened(all, eps);
  let at = 0;
  return advantages.map((own) => {
    if (typeof own === "number") return white[at++]!;
    at += own.length;
    return white.slice(at - own.length, at);
  });
}

/**
 * What is taken off the reward of an answer that comes near the largest length: 0 up to `cache` tokens before it, then
 * growing evenly to 1. Yu et al. 2025, https://arxiv.org/abs/2503.14476
 */
export function overlongPenalty(tokens: number, longest: number, cache: number): number {
  if (cache === 0) return 0;
  return Math.min(1, Math.max(0, (tokens - (longest - cache)) / cache));
}
