/** Dynamic sparse training: the smallest weights of a layer give their places to others. */
import type { Random } from "../../data/random.ts";
import type { BitMask } from "./bit-mask.ts";

export type Grow = "random" | "gradient" | "momentum" | "unfired";

/**
 * Share of a layer's weights that move at step t: f0 / 2 (1 + cos(pi t / end)), 0 from `end` on. Evci et al., ICML
 * 2020, https://arxiv.org/abs/1911.11134
 */
export const movedShare = (f0: number, t: number, end: number): number =>
  t >= end ? 0 : (f0 / 2) * (1 + Math.cos((Math.PI * t) / end));

export interface Regrown {
  readonly share: number;
  readonly grow: Grow;
  /** (N) */
  readonly weights: ArrayLike<number>;
  /** (N) Gradients, or their running mean, for `gradient` and `momentum`. */
  readonly scores?: ArrayLike<number> | undefined;
  /** What is there. It is changed. */
  readonly mask: BitMask;
  /** What belongs to others: it neither goes nor comes. */
  readonly taken: BitMask;
  /** What was there at any time; new places are added to it. */
  readonly fired?: BitMask | undefined;
  readonly random: Random;
}

/**
 * Drops the share of a layer's own weights that are smallest, and puts as many in other free places; where there are
 * fewer of these, fewer move. A place that is dropped does not come back at once. Gives the places that were dropped.
 */
export function regrow({ share, grow, weights, scores, mask, taken, fired, random }: Regrown): number[] {
  const own: number[] = [];
  const free: number[] = [];
  for (let i = 0; i < mask.size; i++) if (!taken.has(i)) (mask.has(i) ? own : free).push(i);
  const count = Math.min(free.length, Math.round(share * own.length));
  if (count === 0) return [];
  const size = (i: number) => Math.abs(weights[i]!);
  const dropped = own.sort((a, b) => size(a) - size(b) || a - b).slice(0, count);
  const grown = chosen(free, { grow, scores, fired, random }).slice(0, count);
  for (const i of dropped) mask.set(i, false);
  for (const i of grown) {
    mask.set(i, true);
    fired?.set(i, true);
  }
  return dropped;
}

/** Free places, the best first. */
function chosen(
  free: readonly number[],
  { grow, scores, fired, random }: Pick<Regrown, "grow" | "scores" | "fired" | "random">,
): number[] {
  const mixed = random.shuffled(free);
  if (grow === "random") return mixed;
  if (grow === "unfired") return [...mixed.filter((i) => !fired!.has(i)), ...mixed.filter((i) => fired!.has(i))];
  return mixed.sort((a, b) => Math.abs(scores![b]!) - Math.abs(scores![a]!) || a - b);
}
