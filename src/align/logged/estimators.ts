/**
 * What a policy would bring, from decisions that another one took: inverse propensities, the same self-normalised, a
 * model of rewards, and both together, which is unbiased where either is right. Dudik et al. 2011,
 * https://arxiv.org/abs/1103.4601; Swaminathan and Joachims 2015 (self-normalised).
 */

export const ESTIMATORS = ["dm", "ips", "snips", "dr"] as const;
export type EstimatorName = (typeof ESTIMATORS)[number];

/** Of one logged decision. */
export interface Decided {
  /** Probability of the logged action under the policy, and when it was taken. */
  readonly probability: number;
  readonly propensity: number;
  readonly reward: number;
  /** Model of rewards: of the logged action, and the mean over the policy's actions. */
  readonly expected: number;
  readonly expectedMean: number;
}

export interface Estimate {
  readonly value: number;
  /** Standard error over rows. */
  readonly error: number;
}

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Mean of rows, and how far it may be off. */
function ofRows(values: readonly number[]): Estimate {
  const value = mean(values);
  const square = values.reduce((sum, x) => sum + (x - value) ** 2, 0);
  return { value, error: Math.sqrt(square / Math.max(1, values.length - 1) / values.length) };
}

/** All estimates; `clip` is the largest weight of a row. */
export function estimates(
  rows: readonly Decided[],
  clip: number,
): Readonly<Record<EstimatorName, Estimate>> & { readonly effective: number } {
  const weights = rows.map(({ probability, propensity }) => Math.min(clip, probability / propensity));
  const total = weights.reduce((sum, w) => sum + w, 0);
  const snips = total > 0 ? rows.reduce((sum, { reward }, i) => sum + weights[i]! * reward, 0) / total : Number.NaN;
  // The error of a ratio of means, by its linear part.
  const scale = total / rows.length;
  const linear = ofRows(rows.map(({ reward }, i) => (weights[i]! * (reward - snips)) / scale));
  return {
    dm: ofRows(rows.map(({ expectedMean }) => expectedMean)),
    ips: ofRows(rows.map(({ reward }, i) => weights[i]! * reward)),
    snips: { value: snips, error: linear.error },
    dr: ofRows(rows.map(({ reward, expected, expectedMean }, i) => expectedMean + weights[i]! * (reward - expected))),
    effective: total ** 2 / weights.reduce((sum, w) => sum + w * w, 0),
  };
}
