/**
 * In which orders a shard learns its slices, so that deletions leave long prefixes: rotations where every slice is as
 * likely to lose a row, and an assignment where it is known how likely each is.
 *
 * "Towards Scalable Exact Machine Unlearning Using Parameter-Efficient Fine-Tuning", ICLR 2025,
 * https://arxiv.org/abs/2406.16257
 */
import { UserError } from "../../errors.ts";
import { assign } from "../../tensor/linear-algebra/assignment.ts";

const rotated = <T>(values: readonly T[], by: number): T[] => [...values.slice(by), ...values.slice(0, by)];

/**
 * `count` orders of the slices 0 to `slices` - 1: all rotations first, so that each slice stands first once, then, of
 * every order so far, the rotations of what follows its first slice, its first two, and so on. Throws UserError for
 * more than there are.
 */
export function rotations(slices: number, count: number): number[][] {
  const turns = Array.from({ length: slices }, (_, by) =>
    rotated(
      Array.from({ length: slices }, (_, i) => i),
      by,
    ),
  );
  const found = new Map(turns.map((order) => [order.join(), order]));
  for (let kept = 1; kept < slices - 1 && found.size < count; kept++)
    for (let by = 1; by < slices - kept; by++)
      for (const order of [...found.values()]) {
        const next = [...order.slice(0, kept), ...rotated(order.slice(kept), by)];
        found.set(next.join(), next);
      }
  if (found.size < count)
    throw new UserError(
      `--budget ${count} asks for more orders than the ${found.size} of ${slices} slices`,
      "lower it, or raise --slices",
    );
  return [...found.values()].slice(0, count);
}

/** How long prefixes of an order are expected to last: sum_r r (1 - sum of the odds of the first r)^deletions. */
export function lasting(order: readonly number[], odds: readonly number[], deletions: number): number {
  let [score, spent] = [0, 0];
  for (const [place, slice] of order.entries()) {
    spent += odds[slice]!;
    score += (place + 1) * Math.max(0, 1 - spent) ** deletions;
  }
  return score;
}

/** Far below any score. */
const NEVER = -1e12;

/**
 * The best `count` of as many orders as there are slices: each begins with another slice, and is made longer by the
 * assignment of slices to orders under which all last longest. Throws UserError for more, and for odds that are none.
 */
export function ordersByOdds(odds: readonly number[], count: number, deletions: number): number[][] {
  const slices = odds.length;
  const total = odds.reduce((sum, q) => sum + q, 0);
  if (total > 1 + 1e-9)
    throw new UserError(`--deletion-odds sum to ${total}, more than 1`, "they are the chances of one deletion");
  if (count > slices)
    throw new UserError(
      `--budget ${count} asks for more orders than the ${slices} slices, of which each begins one`,
      "lower it, or leave out --deletion-odds",
    );
  const orders = odds.map((_, slice) => [slice]);
  for (let length = 1; length < slices; length++) {
    const gains = new Float64Array(slices * slices);
    for (const [u, order] of orders.entries())
      for (let j = 0; j < slices; j++)
        gains[u * slices + j] = order.includes(j) ? NEVER : lasting([...order, j], odds, deletions);
    const next = assign(gains, slices);
    for (const [u, order] of orders.entries()) order.push(next[u]!);
  }
  const scored = orders.map((order, i) => ({ order, i, score: lasting(order, odds, deletions) }));
  return scored
    .sort((a, b) => b.score - a.score || a.i - b.i)
    .slice(0, count)
    .map(({ order }) => order);
}
