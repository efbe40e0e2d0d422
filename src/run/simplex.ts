/** Arithmetic of mixtures: numbers of at least 0 that sum to 1. */

/** p_i exp(eta g_i), normalised: the step of exponentiated gradient. Adding a constant to all of g changes nothing. */
export function exponentiated(p: readonly number[], g: readonly number[], eta: number): number[] {
  const most = Math.max(...g.map((value) => eta * value));
  const raised = p.map((value, i) => value * Math.exp(eta * g[i]! - most));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((value) => value / sum);
}

export const softmax = (x: readonly number[]): number[] =>
  exponentiated(
    x.map(() => 1),
    x,
    1,
  );

export const uniform = (k: number): number[] => Array.from({ length: k }, () => 1 / k);

/** Scaled to sum to 1; uniform when all are 0. */
export function normalised(weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return sum > 0 ? weights.map((weight) => weight / sum) : uniform(weights.length);
}

/** Keeps every group alive: (1 - epsilon) p + epsilon / K. */
export const smoothed = (p: readonly number[], epsilon: number): number[] =>
  p.map((value) => (1 - epsilon) * value + epsilon / p.length);

/**
 * The mixture that is nearest to x. Duchi et al., ICML 2008, https://doi.org/10.1145/1390156.1390191
 */
export function nearestMixture(x: readonly number[]): number[] {
  const sorted = [...x].sort((a, b) => b - a);
  let [sum, level] = [0, 0];
  for (const [i, value] of sorted.entries()) {
    sum += value;
    const own = (sum - 1) / (i + 1);
    if (value > own) level = own;
  }
  return x.map((value) => Math.max(0, value - level));
}
