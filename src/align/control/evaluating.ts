/** Returns of policies in the live world, all from the same starts. */
import { Random } from "../../data/random.ts";
import type { World } from "../../data/worlds/world.ts";
import type { Actor } from "./contract.ts";

export interface Returns {
  readonly mean: number;
  /** Standard error of the mean. */
  readonly error: number;
}

export const meanOf = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Return of one episode. */
export function episode(world: World, actor: Actor, chance: Random, random?: Random): number {
  let state = world.start(chance);
  let [total, weight] = [0, 1];
  for (let step = 0; step < world.horizon; step++) {
    const { reward, next, done } = world.step(state, actor(state, random), chance);
    total += weight * reward;
    weight *= world.discount;
    state = next;
    if (done) break;
  }
  return total;
}

/** Mean return over episodes; `greedy` takes the likeliest action instead of a drawn one. */
export function returnsOf(world: World, actor: Actor, episodes: number, seed: number, greedy = false): Returns {
  const all = Array.from({ length: episodes }, (_, i) =>
    episode(world, actor, new Random(seed, "episode", i), greedy ? undefined : new Random(seed, "acts", i)),
  );
  const mean = meanOf(all);
  const error = Math.sqrt(meanOf(all.map((x) => (x - mean) ** 2)) / Math.max(1, episodes - 1));
  return { mean, error };
}
