/**
 * Laws that foretell a loss from the mixture a model was trained on, fitted to a few trainings.
 *
 *   quadratic    L(p) = a + sum_j b_j p_j + sum_{i <= j} c_ij p_i p_j   by ridge regression. Liu et al. 2024 (RegMix),
 *                https://arxiv.org/abs/2407.01492, where boosted trees do it, and linear regression in comparison
 *   exponential  L(p) = c + exp(b + sum_j t_j p_j)                      Ye et al. 2024 (data mixing laws),
 *                https://arxiv.org/abs/2403.16952, of each held-out group alone
 */
import type { Random } from "../data/random.ts";
import { predicted, ridge } from "../tensor/linear-algebra/ridge.ts";
import { spearman } from "./mixtures.ts";

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

/** For each floor c the logarithm of L - c is linear in p: the floor of the least squared error of L is taken. */
function exponential(mixtures: readonly (readonly number[])[], losses: readonly number[], lambda: number): Law {
  const at = (floor: number) => {
    const fit = ridge(
      mixtures,
      losses.map((loss) => Math.log(loss - floor)),
      lambda,
    );
    const law: Law = (mixture) => floor + Math.exp(predicted(fit, mixture));
    return { floor, law, error: mixtures.reduce((sum, mixture, i) => sum + (law(mixture) - losses[i]!) ** 2, 0) };
  };
  /** The best of floors from `low` to below `high`. */
  const bestIn = (low: number, high: number) =>
    Array.from({ length: FLOORS }, (_, i) => at(low + ((high - low) * i) / FLOORS)).reduce((best, one) =>
      one.error < best.error ? one : best,
    );
  const least = Math.min(...losses);
  const { floor } = bestIn(0, least);
  return bestIn(Math.max(0, floor - least / FLOORS), Math.min(least, floor + least / FLOORS)).law;
}

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
  return spearman(foretold, losses);
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
