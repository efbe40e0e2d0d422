/**
 * Sequences of biased coins, and what two ideal observers make of them: one who knows its coins, one who knows none.
 */
import { ln } from "./portable.ts";
import { Random } from "./random.ts";

/** Biases that a coin may have: the middles of so many steps from 0 to 1. */
export const GRID = 256;
/** Tokens: tails, heads, and what begins a sequence. */
export const [TAILS, HEADS, BEGIN] = [0, 1, 2];

/** All biases of the grid. */
export const gridBiases = (): number[] => Array.from({ length: GRID }, (_, i) => (i + 0.5) / GRID);

/** The biases of the coins of a seed, drawn from the grid; some may be alike. */
export const coinBiases = (seed: number, coins: number): number[] =>
  Array.from({ length: coins }, (_, coin) => (new Random(seed, "coin", coin).below(GRID) + 0.5) / GRID);

/** A sequence of one of the coins: its beginning and `length` flips. */
export function flips(biases: readonly number[], length: number, random: Random): number[] {
  const bias = random.pick(biases);
  return [BEGIN, ...Array.from({ length }, () => (random.uniform() < bias ? HEADS : TAILS))];
}

/**
 * P(heads) before each flip of a sequence, to one who knows that its coin is one of these, all alike likely: the
 * posterior predictive.
 */
export function predictive(biases: readonly number[], sequence: readonly number[]): number[] {
  const logs = new Float64Array(biases.length);
  return sequence.slice(1).map((flip) => {
    const most = logs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    let [sum, heads] = [0, 0];
    for (const [i, bias] of biases.entries()) {
      const weight = Math.exp(logs[i]! - most);
      sum += weight;
      heads += weight * bias;
      logs[i]! += ln(flip === HEADS ? bias : 1 - bias);
    }
    return heads / sum;
  });
}
