/**
 * Membership of a classifier's rows by how sure it is: logistic regression on the entropy of its output, both classes
 * of the same weight.
 */

/** Entropy of a distribution, in nats. */
export const entropyOf = (p: ArrayLike<number>): number =>
  Array.from(p).reduce((sum, x) => (x > 0 ? sum - x * Math.log(x) : sum), 0);

/** Penalty on the slope, so that two sets that a threshold parts have a finite one. */
const RIDGE = 1e-3;
const [STEPS, ENOUGH] = [100, 1e-12];

/**
 * Fits p(member | entropy) and gives the probability of other entropies. Each of the two sets counts one half; the
 * slope is of the entropy in standard deviations. Newton's method, from a slope of 0.
 */
export function memberProbability(members: readonly number[], others: readonly number[]): (entropy: number) => number {
  const points = [
    ...members.map((x) => ({ x, y: 1, w: 0.5 / members.length })),
    ...others.map((x) => ({ x, y: 0, w: 0.5 / others.length })),
  ];
  const mean = points.reduce((sum, { x, w }) => sum + w * x, 0);
  const spread = Math.sqrt(points.reduce((sum, { x, w }) => sum + w * (x - mean) ** 2, 0)) || 1;
  const scaled = (x: number) => (x - mean) / spread;
  let [a, b] = [0, 0];
  for (let step = 0; step < STEPS; step++) {
    let [ga, gb, haa, hab, hbb] = [RIDGE * a, 0, RIDGE, 0, 0];
    for (const { x, y, w } of points) {
      const z = scaled(x);
      const p = 1 / (1 + Math.exp(-(a * z + b)));
      const h = w * p * (1 - p);
      ga += w * (p - y) * z;
      gb += w * (p - y);
      haa += h * z * z;
      hab += h * z;
      hbb += h;
    }
    const det = haa * hbb - hab * hab;
    if (!(det > 0)) break;
    const [da, db] = [(hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det];
    a -= da;
    b -= db;
    if (Math.abs(da) + Math.abs(db) < ENOUGH) break;
  }
  return (entropy) => 1 / (1 + Math.exp(-(a * scaled(entropy) + b)));
}
