/** Log-probabilities on the host, in f64. */
import { Likeliest } from "../generating/likeliest.ts";

/**
 * Log-probabilities of a row of logits, of which one at least is finite; those of the ids up to `outputs` that it lacks
 * are -Infinity.
 */
export function logProbabilities(logits: ArrayLike<number>, outputs = logits.length): Float64Array {
  let most = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) most = Math.max(most, logits[id]!);
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id]! - most);
  const total = most + Math.log(sum);
  const result = new Float64Array(outputs).fill(Number.NEGATIVE_INFINITY);
  for (let id = 0; id < logits.length; id++) result[id] = logits[id]! - total;
  return result;
}

/** The least logarithm of a ratio that is told, so that sums with it stay numbers. */
const LEAST = -1e4;

/**
 * log p - log q of every token, at least -1e4; 0 of those to which q gives nothing: nothing says how much more p has.
 */
export const logRatios = (p: Float64Array, q: Float64Array): Float64Array =>
  p.map((x, id) => (q[id] === Number.NEGATIVE_INFINITY ? 0 : Math.max(LEAST, x - q[id]!)));

/** KL(p || q) of two distributions, from their log-probabilities, in nats. */
export function divergence(p: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (const [id, x] of p.entries()) if (x > Number.NEGATIVE_INFINITY) sum += Math.exp(x) * (x - q[id]!);
  return sum;
}

/** The Jensen-Shannon divergence of two distributions, from their log-probabilities, in nats. */
export function jensenShannon(p: Float64Array, q: Float64Array): number {
  const middle = p.map((x, id) => Math.log((Math.exp(x) + Math.exp(q[id]!)) / 2));
  return (divergence(p, middle) + divergence(q, middle)) / 2;
}

/** The tokens that have at least `share` of the largest probability; the others have none. */
export function plausible(logs: Float64Array, share: number): Float64Array {
  const least = logs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) + Math.log(share);
  return logs.map((x) => (x >= least ? x : Number.NEGATIVE_INFINITY));
}

/** The fewest likeliest tokens that together reach the probability p; of equals the lowest ids. */
export function nucleus(logs: Float64Array, p: number): ReadonlySet<number> {
  const inside = new Set<number>();
  const likeliest = new Likeliest(logs, 1);
  const least = p * likeliest.total * (1 - 1e-12); // sums differ by how they are rounded
  let reached = 0;
  for (const { id, p: own } of likeliest.take((_, mass) => mass >= least)) {
    inside.add(id);
    reached += own;
    if (reached >= least) break;
  }
  return inside;
}
