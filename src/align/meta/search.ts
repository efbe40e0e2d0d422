/**
 * A schedule that is a small network of how far a lifetime has come and how long it is, found by evolution strategies:
 *
 *   m = 10^tanh(psi(2 t/T - 1, ln T scaled)),  two multipliers, 1 where psi's last layer is 0
 *   gradient = mean over pairs of e (F(psi + sigma e) - F(psi - sigma e)), over the deviation of the differences
 *
 * Both of a pair live the same lifetimes, whose lengths are log-uniform. Jackson et al., Discovering Temporally-Aware
 * Reinforcement Learning Algorithms, ICLR 2024, https://arxiv.org/abs/2402.05828; it ranks within a pair, which keeps
 * the sign of a difference alone: what wins often and fails badly now and then then wins, so differences stand here.
 */
import { Random } from "../../data/random.ts";
import { Mlp } from "../../run/small-nets/mlp.ts";
import { adam } from "../../tensor/descent.ts";
import { type Learner, lifetime, type Multipliers } from "./lifetime.ts";

export interface Search {
  readonly learner: Learner;
  /** Shortest and longest lifetime. */
  readonly lengths: readonly [number, number];
  readonly hidden: readonly number[];
  readonly pairs: number;
  /** Lifetimes that a member lives in a generation. */
  readonly lives: number;
  readonly generations: number;
  readonly sigma: number;
  readonly lr: number;
  /** Whether the network sees t / T and ln T; without, the multipliers are constants. */
  readonly sees: boolean;
  readonly seed: number;
}

/** A network whose multipliers are 1. */
export const firstSchedule = ({ hidden, seed }: Pick<Search, "hidden" | "seed">): Mlp =>
  Mlp.fresh([2, ...hidden, 2], new Random(seed, "schedule"), 0);

export function multipliersOf(net: Mlp, { lengths: [low, high], sees }: Pick<Search, "lengths" | "sees">): Multipliers {
  const middle = (Math.log(low) + Math.log(high)) / 2;
  const half = Math.max(1e-9, (Math.log(high) - Math.log(low)) / 2);
  return (progress, length) => {
    const inputs = sees ? [2 * progress - 1, (Math.log(length) - middle) / half] : [0, 0];
    const [rate = 0, entropy = 0] = net.output(Float64Array.from(inputs), 1);
    return [10 ** Math.tanh(rate), 10 ** Math.tanh(entropy)];
  };
}

/** Yields the network after each generation, with the mean return of its members. */
export function* search(given: Search): Generator<{ readonly net: Mlp; readonly mean: number }> {
  const { learner, lengths, pairs, lives, generations, sigma, lr, seed } = given;
  const [low, high] = lengths;
  const net = firstSchedule(given);
  const descent = adam(lr);
  for (let generation = 0; generation < generations; generation++) {
    const members = Array.from({ length: pairs }, (_, pair) => {
      const random = new Random(seed, "pair", generation, pair);
      const e = Float64Array.from(net.weights, () => random.normal());
      const lived = Array.from({ length: lives }, () => ({
        length: Math.round(low * (high / low) ** random.uniform()),
        key: random.below(2 ** 30),
      }));
      const returns = [sigma, -sigma].map((by) => {
        const moved = net.copy();
        for (const [i, x] of e.entries()) moved.weights[i]! += by * x;
        const multipliers = multipliersOf(moved, given);
        return lived.reduce((sum, { length, key }) => sum + lifetime(learner, multipliers, length, key), 0) / lives;
      });
      return { e, difference: returns[0]! - returns[1]!, mean: (returns[0]! + returns[1]!) / 2 };
    });
    const deviation = Math.sqrt(members.reduce((sum, { difference }) => sum + difference ** 2, 0) / pairs);
    const into = new Float64Array(net.weights.length);
    for (const { e, difference } of members)
      for (const [i, x] of e.entries()) into[i]! -= (x * difference) / (deviation + 1e-12) / pairs;
    descent.step(net.weights, into);
    yield { net, mean: members.reduce((sum, { mean }) => sum + mean, 0) / pairs };
  }
}
