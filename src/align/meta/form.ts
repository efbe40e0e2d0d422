/**
 * What `align meta` searches for: numbers that decide how small learners learn, judged by what a learner is worth at
 * the end of its lifetime.
 */
import type { NamedTensor } from "../../run/small-nets/mlp.ts";
import type { Multipliers } from "./lifetime.ts";

/** Names what a learner is beside the one that is searched: the base, or the best of some constants. */
export interface Rival {
  readonly name: string;
  live(length: number, key: number): number;
}

export interface Form {
  /** What the search begins with; where their last layer is 0 it is the base, but for learned objectives. */
  first(seed: number): Float64Array;
  /** What the policy is worth after `length` updates, of the best there is; the same for the same key. */
  live(weights: Float64Array, length: number, key: number): number;
  tensors(weights: Float64Array): NamedTensor[];
  /** The learner as it is without it. */
  readonly base: Rival;
  /** Constants of a grid: what it has to beat is the best of them. */
  readonly constants: readonly Rival[];
  /** Of schedules: what they multiply by. */
  multipliers?(weights: Float64Array): Multipliers;
}

/** What a network is told of time: how far a lifetime has come and how long it is, scaled to [-1, 1]; or nothing. */
export function clockOf(
  [low, high]: readonly [number, number],
  sees: boolean,
): (progress: number, length: number) => readonly [number, number] {
  const middle = (Math.log(low) + Math.log(high)) / 2;
  const half = Math.max(1e-9, (Math.log(high) - Math.log(low)) / 2);
  return (progress, length) => (sees ? [2 * progress - 1, (Math.log(length) - middle) / half] : [0, 0]);
}
