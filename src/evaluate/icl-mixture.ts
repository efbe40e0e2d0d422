/** How a model's probabilities are mixed of those of two observers. */

/** P(heads) at a place. */
export interface Mixed {
  readonly model: number;
  readonly memory: number;
  readonly general: number;
}

const LEAST = 1e-12;
const safe = (p: number): number => Math.min(1 - LEAST, Math.max(LEAST, p));

/** KL(p || q) of two coins, in nats. */
function divergence(p: number, q: number): number {
  const [a, b] = [safe(p), safe(q)];
  return a * Math.log(a / b) + (1 - a) * Math.log((1 - a) / (1 - b));
}

/** Mean of -log p of what came. */
export const binaryLoss = (heads: readonly number[], flipped: readonly boolean[]): number =>
  heads.reduce((sum, p, i) => sum - Math.log(safe(flipped[i] ? p : 1 - p)), 0) / heads.length;

/**
 * The weight w in [0, 1] of the one who remembers for which the mixture is nearest to the model, in the mean of
 * KL(model || mixture) over places: convex in w, by golden section. Where both observers say the same at all places
 * every w is as good, and 1/2 is given.
 */
export function mixtureWeight(places: readonly Mixed[]): { readonly weight: number; readonly kl: number } {
  const at = (w: number) =>
    places.reduce((sum, { model, memory, general }) => sum + divergence(model, w * memory + (1 - w) * general), 0) /
    places.length;
  if (places.every(({ memory, general }) => Math.abs(memory - general) < 1e-9)) return { weight: 0.5, kl: at(0.5) };
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [0, 1];
  for (let step = 0; step < 60; step++) {
    const [left, right] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (at(left) <= at(right)) high = right;
    else low = left;
  }
  // The ends are reached only in the limit.
  const middle = (low + high) / 2;
  const weight = [0, middle, 1].reduce((best, w) => (at(w) < at(best) ? w : best), middle);
  return { weight, kl: at(weight) };
}
