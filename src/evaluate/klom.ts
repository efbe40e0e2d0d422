/**
 * KLoM, the "KL divergence of margins": how far the margins of unlearned models are from those of models that were
 * trained without the rows, point by point over several models of each. 0 is perfect.
 *
 * Georgiev et al., "Attribute-to-Delete: Machine Unlearning via Datamodel Matching", ICLR 2025,
 * https://arxiv.org/abs/2410.23232
 */

/** Margins beyond are cut. */
const MOST = 100;
const BINS = 20;
/** Least mass of a bin of retrained models where unlearned ones are. */
const FLOOR = 1e-5;

/** z_y - log sum_{k != y} exp(z_k) */
export function margin(logits: ArrayLike<number>, label: number): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < logits.length; k++) if (k !== label) most = Math.max(most, logits[k]!);
  let sum = 0;
  for (let k = 0; k < logits.length; k++) if (k !== label) sum += Math.exp(logits[k]! - most);
  return logits[label]! - (most + Math.log(sum));
}

/** KL of histograms of two samples of one point's margins, over equal bins between the least and the largest. */
export function klom(unlearned: readonly number[], retrained: readonly number[]): number {
  const cut = (values: readonly number[]) => values.map((value) => Math.max(-MOST, Math.min(MOST, value)));
  const [ours, theirs] = [cut(unlearned), cut(retrained)];
  const all = [...ours, ...theirs];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  if (least === most) return 0;
  const masses = (values: readonly number[]) => {
    const mass = new Float64Array(BINS);
    for (const value of values)
      mass[Math.min(BINS - 1, Math.floor((BINS * (value - least)) / (most - least)))]! += 1 / values.length;
    return mass;
  };
  const [p, q] = [masses(ours), masses(theirs)];
  return p.reduce((sum, mass, bin) => (mass > 0 ? sum + mass * Math.log(mass / Math.max(FLOOR, q[bin]!)) : sum), 0);
}

/** Of margins by model and point: KLoM of every point. */
export const klomOfPoints = (unlearned: readonly Float64Array[], retrained: readonly Float64Array[]): number[] =>
  Array.from(unlearned[0]!, (_, point) =>
    klom(
      unlearned.map((margins) => margins[point]!),
      retrained.map((margins) => margins[point]!),
    ),
  );

/** Mean, and the value that 95 % of points do not exceed. */
export function summary(values: readonly number[]): { readonly mean: number; readonly p95: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, p95: sorted[Math.max(0, Math.ceil(0.95 * sorted.length) - 1)]! };
}
