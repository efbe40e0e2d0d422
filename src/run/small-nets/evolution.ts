/**
 * Evolution strategies with mirrored pairs: weights move along the perturbations that did better than their mirror.
 *
 *   gradient = mean over pairs of e (F(w + sigma e) - F(w - sigma e)), over the deviation of the differences
 *
 * Both of a pair live the same, so that what is left of a difference is what the weights did. Salimans et al.,
 * Evolution Strategies as a Scalable Alternative to Reinforcement Learning, 2017, https://arxiv.org/abs/1703.03864
 */
import { Random } from "../../data/random.ts";
import { adam } from "../../tensor/descent.ts";

export interface Evolution<L> {
  /** Where it begins; they are changed. */
  readonly weights: Float64Array;
  readonly pairs: number;
  readonly generations: number;
  readonly sigma: number;
  /** Of Adam. */
  readonly lr: number;
  readonly seed: number;
  /** What a pair lives. */
  draw(random: Random): L;
  /** How well weights do in it; larger is better. */
  live(weights: Float64Array, lived: L): number | Promise<number>;
}

/** Yields the mean of all members after each generation, when `weights` have moved. */
export async function* evolve<L>(given: Evolution<L>): AsyncGenerator<number> {
  const { weights, pairs, generations, sigma, lr, seed } = given;
  const descent = adam(lr);
  for (let generation = 0; generation < generations; generation++) {
    const into = new Float64Array(weights.length);
    const members: { readonly e: Float64Array; readonly difference: number; readonly mean: number }[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const random = new Random(seed, "pair", generation, pair);
      const e = Float64Array.from(weights, () => random.normal());
      const lived = given.draw(random);
      const [up, down] = [sigma, -sigma].map((by) => weights.map((w, i) => w + by * e[i]!));
      const [better, worse] = [await given.live(up!, lived), await given.live(down!, lived)];
      members.push({ e, difference: better - worse, mean: (better + worse) / 2 });
    }
    const deviation = Math.sqrt(members.reduce((sum, { difference }) => sum + difference ** 2, 0) / pairs);
    for (const { e, difference } of members)
      for (const [i, x] of e.entries()) into[i]! -= (x * difference) / (deviation + 1e-12) / pairs;
    descent.step(weights, into);
    yield members.reduce((sum, { mean }) => sum + mean, 0) / pairs;
  }
}
