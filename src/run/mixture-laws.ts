/**
 * Laws that foretell a loss from the mixture a model was trained on, fitted to a few trainings.
 *
 *   quadratic    L(p) = a + sum_j b_j p_j + sum_{i <= j} c_ij p_i p_j   by ridge regression. Liu et al. 2024 (RegMix),
 *                https://arxiv.org/abs/2407.01492, where boosted trees do it, and linear regression in comparison
 *   exponential  L(p) = c + exp(b + sum_j t_j p_j)                      Ye et al. 2024 (data mixing laws),
 *                https://arxiv.org/abs/2403.16952, of each held-out group alone
 *   dynamic      L(p) = L - sum_j a_j p_j after some steps             Chen et al. 2024 (Aioli),
 *                https://arxiv.org/abs/2411.05735, of each held-out group alone
 */
import type { Random } from "../data/random.ts";
import { predicted, ridge } from "../tensor/linear-algebra/ridge.ts";
import { rankCorrelation } from "./probing/rank-correlation.ts";

export type LawName = "quadratic" | "exponential";
export type Law = (mixture: readonly number[]) => number;

/** The values of a mixture and their products, each pair once. */
const products = (p: readonly number[]): number[] => [
  ...p,
  ...p.flatMap((x, i) => p.slice(0, i + 1).map((y) => x * y)),
];

function quadratic(mixtures: readonly (readonly number[])[], losses: readonly number[], lambda: number): Law {
  const fit = ridge(mixtures.map(products), losses, lambda);
  return (mixture) => predicted(fit, products(mixture));
}

/** Floors c that are tried between two, twice: between the neighbours of the first pass's best the second looks. */
const FLOORS = 50;

/** L(p) = floor + exp(level + sum_j rates_j p_j). */
export interface ExponentialLaw {
  readonly floor: number;
  readonly level: number;
  readonly rates: readonly number[];
}

/** For each floor c the logarithm of L - c is linear in p: the floor of the least squared error of L is taken. */
export function exponentialLaw(
  mixtures: readonly (readonly number[])[],
  losses: readonly number[],
  lambda: number,
): ExponentialLaw & { readonly law: Law } {
  const at = (floor: number) => {
    const fit = ridge(
      mixtures,
      losses.map((loss) => Math.log(loss - floor)),
      lambda,
    );
    const law: Law = (mixture) => floor + Math.exp(predicted(fit, mixture));
    const error = mixtures.reduce((sum, mixture, i) => sum + (law(mixture) - losses[i]!) ** 2, 0);
    return { floor, level: fit.intercept, rates: fit.weights, law, error };
  };
  /** The best of floors from `low` to below `high`. */
  const bestIn = (low: number, high: number) =>
    Array.from({ length: FLOORS }, (_, i) => at(low + ((high - low) * i) / FLOORS)).reduce((best, one) =>
      one.error < best.error ? one : best,
    );
  const least = Math.min(...losses);
  const { floor } = bestIn(0, least);
  const { error: _, ...best } = bestIn(Math.max(0, floor - least / FLOORS), Math.min(least, floor + least / FLOORS));
  return best;
}

const exponential = (mixtures: readonly (readonly number[])[], losses: readonly number[], lambda: number): Law =>
  exponentialLaw(mixtures, losses, lambda).law;

/** How a loss answers to the share of every group: drop = sum_j rates_j p_j. Least squares; shares sum to 1. */
export function dynamicLaw(
  mixtures: readonly (readonly number[])[],
  drops: readonly number[],
  lambda: number,
): { readonly rates: readonly number[]; readonly law: Law } {
  // Shares sum to 1, so that a constant is a part of every rate.
  const { intercept, weights } = ridge(mixtures, drops, lambda);
  const rates = weights.map((weight) => weight + intercept);
  return { rates, law: (mixture) => rates.reduce((sum, rate, j) => sum + rate * mixture[j]!, 0) };
}

/** Share of the variance of values that a law explains, 1 where it is exact; NaN where they do not vary. */
export function explained(foretold: readonly number[], values: readonly number[]): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const sum = (term: (value: number, i: number) => number) => values.reduce((all, x, i) => all + term(x, i) ** 2, 0);
  return 1 - sum((value, i) => value - foretold[i]!) / sum((value) => value - mean);
}

/** Mean distance of what is foretold of a training from what came of it, each left out of the fit in turn. */
export function leftOutError(
  fit: (mixtures: readonly (readonly number[])[], values: readonly number[]) => Law,
  mixtures: readonly (readonly number[])[],
  values: readonly number[],
): number {
  const without = <T>(list: readonly T[], left: number) => list.filter((_, i) => i !== left);
  const errors = mixtures.map((mixture, left) =>
    Math.abs(fit(without(mixtures, left), without(values, left))(mixture) - values[left]!),
  );
  return errors.reduce((a, b) => a + b, 0) / errors.length;
}

/** The mixture that gives one group the share f and every other the same of what is left. */
export const probeMixture = (k: number, group: number, f: number): number[] =>
  Array.from({ length: k }, (_, i) => (i === group ? f : (1 - f) / (k - 1)));

/** Rows of rates, made >= 0 with sum 1: the least entry, if negative, is subtracted. */
export function normaliseLaw(law: readonly (readonly number[])[]): number[][] {
  const least = Math.min(0, ...law.flat());
  const sum = law.flat().reduce((all, entry) => all + entry - least, 0);
  return law.map((row) => row.map((entry) => (sum > 0 ? (entry - least) / sum : 1 / law.length ** 2)));
}

/** What the share of every group does for all losses together. */
export const columnSums = (law: readonly (readonly number[])[]): number[] =>
  law.map((_, j) => law.reduce((sum, row) => sum + row[j]!, 0));

const FITS = { quadratic, exponential };

/** Fits a law. `lambda`: ridge penalty, as a share of the mean square of the values. Losses are above 0. */
export const fitLaw = (
  name: LawName,
  mixtures: readonly (readonly number[])[],
  losses: readonly number[],
  lambda: number,
): Law => FITS[name](mixtures, losses, lambda);

/** How a law ranks trainings that it was not fitted to, one left out at a time: a rank correlation; NaN below three. */
export function leftOutRanks(
  name: LawName,
  mixtures: readonly (readonly number[])[],
  losses: readonly number[],
  lambda: number,
): number {
  if (mixtures.length < 3) return Number.NaN;
  const without = <T>(list: readonly T[], left: number) => list.filter((_, i) => i !== left);
  const foretold = mixtures.map((mixture, left) =>
    fitLaw(name, without(mixtures, left), without(losses, left), lambda)(mixture),
  );
  return rankCorrelation(foretold, losses);
}

/**
 * A mixture around natural shares: Dirichlet(s k m), m the shares, k how many there are, and s drawn between two
 * strengths, in equal parts of its logarithm. Small strengths give mixtures of few groups.
 */
export function drawMixture(
  shares: readonly number[],
  [low, high]: readonly [number, number],
  random: Random,
): number[] {
  const strength = Math.exp(Math.log(low) + random.uniform() * Math.log(high / low));
  const logs = shares.map((share) => random.logGamma(strength * shares.length * share));
  const most = Math.max(...logs);
  const parts = logs.map((log) => Math.exp(log - most));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}

/** The mean of the `best` mixtures of `count` drawn ones that a law foretells the least loss of. */
export function bestMixture(
  law: Law,
  { draw, count, best }: { readonly draw: () => number[]; readonly count: number; readonly best: number },
): { mixture: number[]; foretold: number } {
  const drawn = Array.from({ length: count }, () => {
    const mixture = draw();
    return { mixture, loss: law(mixture) };
  });
  const chosen = drawn.sort((a, b) => a.loss - b.loss).slice(0, best);
  const mixture = chosen[0]!.mixture.map(
    (_, i) => chosen.reduce((sum, one) => sum + one.mixture[i]!, 0) / chosen.length,
  );
  return { mixture, foretold: law(mixture) };
}
