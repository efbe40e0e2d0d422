/** Arithmetic of bandits that choose among groups: values from rewards, and shares from values. */
import { normalised, smoothed, softmax, uniform } from "./simplex.ts";

/** (1 - alpha) Q + alpha r; a reward that is not known leaves its value. */
export const decayed = (values: readonly number[], rewards: readonly number[], alpha: number): number[] =>
  values.map((value, i) => (Number.isFinite(rewards[i]) ? (1 - alpha) * value + alpha * rewards[i]! : value));

/** From values to shares. */
export interface ShareRule {
  readonly rule: "softmax" | "greedy" | "proportional";
  /** Temperature of the softmax. */
  readonly tau: number;
  /** Share of the uniform mixture where the largest value takes the rest. */
  readonly epsilon: number;
}

/** The least value that counts in proportion. */
const LEAST = 0.01;

/**
 * softmax(Q / tau), the largest values but for epsilon, or in proportion to max(Q, 0.01); of values that are all 0
 * uniform.
 */
export function sharesOf(values: readonly number[], { rule, tau, epsilon }: ShareRule): number[] {
  if (rule === "softmax") return softmax(values.map((q) => q / tau));
  if (rule === "proportional") return normalised(values.map((q) => Math.max(q, LEAST)));
  const best = Math.max(...values);
  return values.every((q) => q === best)
    ? uniform(values.length)
    : smoothed(normalised(values.map((q) => (q === best ? 1 : 0))), epsilon);
}

/** c sqrt(2 ln(N + 1) / (n + 1)) of every count n, whose sum is N. */
export function confidenceBonus(counts: readonly number[], c: number): number[] {
  const all = counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => c * Math.sqrt((2 * Math.log(all + 1)) / (count + 1)));
}
