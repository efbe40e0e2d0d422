/**
 * A Markov language: text whose next symbol depends on the `order` symbols before it, with transition rows drawn from a
 * Dirichlet distribution. No model can do better than its entropy rate, which is known, so "loss - entropy rate" is
 * what a model has still to learn.
 *
 * Shannon 1948, sections 4-7. The entropy rate H = -sum_c pi(c) sum_s p(s|c) ln p(s|c), pi the stationary distribution
 * of the chain of contexts. A row starts from pi, so every position of every row has the same distribution, and the
 * expected loss per symbol of a row of T symbols read from its first one is (H(pi) + (T - order) H) / T.
 */
import { UserError } from "../../errors.ts";
import { exp, ln } from "../portable.ts";
import { Random } from "../random.ts";
import { task } from "../task.ts";

const SYMBOLS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/** Largest transition table, in probabilities. */
const MOST = 2 ** 18;

export interface MarkovLanguage {
  /** p(s | c) at c * alphabet + s; a context is a number whose digits, oldest first, are its symbols. */
  readonly probabilities: Float64Array;
  /** pi(c). */
  readonly stationary: Float64Array;
  /** Nats per symbol. */
  readonly entropyRate: number;
  /** Entropy of pi: nats of the first `order` symbols together. */
  readonly entropyStart: number;
}

const entropyOf = (p: Float64Array): number => p.reduce((sum, x) => (x > 0 ? sum - x * ln(x) : sum), 0);

/** pi by repeated multiplication, until a step moves no less mass than the one before, which is rounding. */
function stationaryOf(probabilities: Float64Array, alphabet: number): Float64Array {
  const contexts = probabilities.length / alphabet;
  let pi = new Float64Array(contexts).fill(1 / contexts);
  let next = new Float64Array(contexts);
  let before = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 20_000; round++) {
    next.fill(0);
    for (let c = 0; c < contexts; c++)
      for (let s = 0; s < alphabet; s++) {
        const to = (c * alphabet + s) % contexts; // the oldest symbol drops out
        next[to] = next[to]! + pi[c]! * probabilities[c * alphabet + s]!;
      }
    const total = next.reduce((sum, x) => sum + x, 0);
    let moved = 0;
    for (let c = 0; c < contexts; c++) {
      next[c] = next[c]! / total;
      moved += Math.abs(next[c]! - pi[c]!);
    }
    [pi, next] = [next, pi];
    if (moved === 0 || (moved < 1e-12 && moved >= before)) return pi;
    before = moved;
  }
  throw new UserError(
    "the language mixes too slowly for its entropy rate to be computed",
    "ask for a larger --smoothing or --concentration",
  );
}

/** The language of a seed; rows of the table are Dirichlet(concentration), mixed with the uniform distribution. */
export function markovLanguage(
  seed: number,
  alphabet: number,
  order: number,
  concentration: number,
  smoothing: number,
): MarkovLanguage {
  const contexts = alphabet ** order;
  if (contexts * alphabet > MOST)
    throw new UserError(
      `--order ${order} over ${alphabet} symbols needs ${contexts * alphabet} probabilities, at most ${MOST} are possible`,
      "lower --order or --alphabet",
    );
  const probabilities = new Float64Array(contexts * alphabet);
  const random = new Random(seed, "markov-table", alphabet, order);
  for (let c = 0; c < contexts; c++) {
    const logs = Array.from({ length: alphabet }, () => random.logGamma(concentration));
    const most = Math.max(...logs);
    const weights = logs.map((log) => exp(log - most));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let s = 0; s < alphabet; s++)
      probabilities[c * alphabet + s] = (1 - smoothing) * (weights[s]! / total) + smoothing / alphabet;
  }
  const stationary = stationaryOf(probabilities, alphabet);
  let entropyRate = 0;
  for (let c = 0; c < contexts; c++)
    entropyRate += stationary[c]! * entropyOf(probabilities.subarray(c * alphabet, (c + 1) * alphabet));
  return { probabilities, stationary, entropyRate, entropyStart: entropyOf(stationary) };
}

/** Running sums, for drawing by bisection; one row of the table or pi. */
function sumsOf(weights: Float64Array, width: number): Float64Array {
  const sums = new Float64Array(weights.length);
  for (let i = 0; i < weights.length; i++) sums[i] = (i % width === 0 ? 0 : sums[i - 1]!) + weights[i]!;
  return sums;
}

/** The first index of a row whose running sum exceeds u times the row's total. */
function drawFrom(sums: Float64Array, at: number, width: number, u: number): number {
  const wanted = u * sums[at + width - 1]!;
  let low = 0;
  let high = width - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[at + middle]! > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}

export const method = task({
  name: "markov",
  title: "Markov language",
  about: "text of a random Markov language whose entropy rate, the best possible loss, is known",
  cite: "doi:10.1002/j.1538-7305.1948.tb01338.x",
  splits: "independent texts of the same language",
  options: {
    alphabet: {
      type: "2 <= number.integer <= 64",
      default: 16,
      help: "symbols, one byte each: a-z, A-Z, 0-9, - and _",
    },
    order: { type: "0 <= number.integer <= 8", default: 2, help: "symbols that the next one depends on" },
    length: { type: "1 <= number.integer <= 1000000", default: 128, help: "symbols per row" },
    concentration: {
      type: "0.001 <= number <= 1000",
      default: 0.3,
      help: "of the Dirichlet that each transition row is drawn from; small: few likely symbols, low entropy",
    },
    smoothing: {
      type: "0.0001 <= number <= 1",
      default: 0.01,
      help: "share of the uniform distribution in each row, which keeps every symbol possible",
    },
    form: { type: "'text' | 'ids'", default: "text", help: "text, or input_ids that number the symbols from 0" },
  },

  laws: {
    apart: "texts are independent draws, and a short one may be drawn in two splits",
    distinctRows: "texts are independent draws, and a short one may come twice",
    answered: "a text asks nothing",
    endless: true,
  },
  trials: [{}, { order: 0, alphabet: 2 }, { order: 3, alphabet: 5, form: "ids", length: 2 }],

  open({ seed, split }, { alphabet, order, length, concentration, smoothing, form }) {
    const language = markovLanguage(seed, alphabet, order, concentration, smoothing);
    const contexts = language.stationary.length;
    const start = sumsOf(language.stationary, contexts);
    const steps = sumsOf(language.probabilities, alphabet);
    const covered = Math.min(order, length);
    const expected = (language.entropyStart + (length - order) * language.entropyRate) / length;
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: {
        entropy_rate: language.entropyRate,
        entropy_first_symbols: language.entropyStart,
        ...(length >= order ? { expected_loss_per_row_symbol: expected } : {}),
        unit: "nats per symbol",
        uniform_loss: ln(alphabet),
      },
      row(index) {
        const random = new Random(seed, "markov", split, index);
        let context = drawFrom(start, 0, contexts, random.uniform());
        const ids: number[] = [];
        for (let place = 0; place < covered; place++)
          ids.push(Math.floor(context / alphabet ** (order - 1 - place)) % alphabet);
        while (ids.length < length) {
          const symbol = drawFrom(steps, context * alphabet, alphabet, random.uniform());
          ids.push(symbol);
          context = (context * alphabet + symbol) % contexts;
        }
        return form === "ids" ? { input_ids: ids } : { text: ids.map((id) => SYMBOLS[id]).join("") };
      },
    };
  },
});
