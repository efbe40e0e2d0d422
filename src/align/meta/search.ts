/**
 * The search of `align meta`: weights of a form by evolution strategies over whole lifetimes.
 *
 * Both of a pair live the same lifetimes, whose lengths are log-uniform. Jackson et al., Discovering Temporally-Aware
 * Reinforcement Learning Algorithms, ICLR 2024, https://arxiv.org/abs/2402.05828; it ranks within a pair, which keeps
 * the sign of a difference alone: what wins often and fails badly now and then then wins, so differences stand here.
 */
import { evolve } from "../../run/small-nets/evolution.ts";
import type { Form } from "./form.ts";

export interface Search {
  readonly form: Form;
  /** Shortest and longest lifetime. */
  readonly lengths: readonly [number, number];
  readonly pairs: number;
  /** Lifetimes that a member lives in a generation. */
  readonly lives: number;
  readonly generations: number;
  readonly sigma: number;
  readonly lr: number;
  readonly seed: number;
}

/** Moves the weights; yields the mean of the members of each generation. */
export function search(given: Search, weights: Float64Array): AsyncGenerator<number> {
  const { form, lengths, lives, ...rest } = given;
  const [low, high] = lengths;
  return evolve<readonly { readonly length: number; readonly key: number }[]>({
    ...{ ...rest, weights },
    draw: (random) =>
      Array.from({ length: lives }, () => ({
        length: Math.round(low * (high / low) ** random.uniform()),
        key: random.below(2 ** 30),
      })),
    live: (own, lived) => lived.reduce((sum, { length, key }) => sum + form.live(own, length, key), 0) / lives,
  });
}
