/**
 * Universal mixtures of models: weights that follow what each mixture would have earned so far, without any assumption
 * on the data.
 *
 * Cover, Universal Portfolios, 1991, https://doi.org/10.1111/j.1467-9965.1991.tb00002.x; the prior Dirichlet(1/2) and
 * its bound: Cover and Ordentlich 1996, https://doi.org/10.1109/18.485708. A mixture b is a point of the simplex; its
 * wealth after some tokens is the product of b . p over the models' probabilities of each. The universal weights are
 * the mean of all b by wealth; those of the Bayes mixture are the wealth of its corners, one per model.
 */
import { Random } from "../data/random.ts";

/** How weights follow the past. */
export interface MixtureSettings {
  /** "universal": the mean over constant mixtures; "bayes": by each model's own wealth. */
  readonly kind: "universal" | "bayes";
  /** Mixtures that stand for all of the simplex, at least; universal only. */
  readonly samples: number;
  /** What a token counts one token later, as a power; 1: as much as the new one. */
  readonly discount: number;
  readonly seed: number;
}

export const UNIVERSAL: MixtureSettings = { kind: "universal", samples: 2048, discount: 1, seed: 0 };

/** A point of the simplex from Dirichlet(1/2): squares of normal values, in parts of their sum. */
function drawn(count: number, random: Random): Float64Array {
  const squares = Float64Array.from({ length: count }, () => random.normal() ** 2);
  const sum = squares.reduce((a, b) => a + b, 0);
  return squares.map((square) => square / sum);
}

/**
 * Points that stand for the prior, each with all of its rotations, so that models which always agree have exactly equal
 * weights.
 */
function pointsOf(models: number, { kind, samples, seed }: MixtureSettings): Float64Array[] {
  if (kind === "bayes") return Array.from({ length: models }, (_, i) => new Float64Array(models).fill(1, i, i + 1));
  return Array.from({ length: Math.ceil(samples / models) }, (_, at) => {
    const point = drawn(models, new Random(seed, "universal", models, at));
    return Array.from({ length: models }, (_, turn) => point.map((_, i) => point[(i + turn) % models]!));
  }).flat();
}

/** The log of a sum of exponentials. */
function logSum(values: ArrayLike<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]!);
  if (most === Number.NEGATIVE_INFINITY) return most;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i]! - most);
  return most + Math.log(sum);
}

/** The mixture of a sequence of tokens, as it goes on. */
export class UniversalMixture {
  readonly #settings: MixtureSettings;
  readonly #points: readonly Float64Array[];
  readonly #wealth: Float64Array;

  /** Throws RangeError for fewer than one model. */
  constructor(models: number, settings: MixtureSettings = UNIVERSAL) {
    if (models < 1) throw new RangeError("a mixture of no models");
    this.#settings = settings;
    this.#points = pointsOf(models, settings);
    this.#wealth = new Float64Array(this.#points.length);
  }

  /** The weights of the models for the next token; they sum to 1. */
  weights(): Float64Array {
    const total = logSum(this.#wealth);
    const weights = new Float64Array(this.#points[0]!.length);
    for (const [at, point] of this.#points.entries()) {
      const share = Math.exp(this.#wealth[at]! - total);
      for (let i = 0; i < weights.length; i++) weights[i]! += share * point[i]!;
    }
    return weights;
  }

  /**
   * Hears what probability each model gave the token that came, as logs; gives the log of what the mixture gave it. A
   * token that no model thought possible says nothing of the models.
   */
  observe(logs: ArrayLike<number>): number {
    const given = this.weights();
    this.hear(logs);
    return logSum(given.map((weight, i) => Math.log(weight) + logs[i]!));
  }

  /** As `observe`, without an answer. */
  hear(logs: ArrayLike<number>): void {
    const most = Array.from(logs).reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    if (most === Number.NEGATIVE_INFINITY) return;
    const ratios = Float64Array.from(logs, (log) => Math.exp(log - most)); // the reference cancels out of the weights
    const { discount } = this.#settings;
    for (const [at, point] of this.#points.entries()) {
      let earned = 0;
      for (let i = 0; i < ratios.length; i++) earned += point[i]! * ratios[i]!;
      this.#wealth[at] = discount * this.#wealth[at]! + Math.log(earned);
    }
    if (logSum(this.#wealth) === Number.NEGATIVE_INFINITY) this.#wealth.fill(0); // every corner is ruled out: anew
  }

  /**
   * How many of the points share the weight, as the inverse of the sum of their squared shares: near 1 the points are
   * too few for so much data.
   */
  effective(): number {
    const total = logSum(this.#wealth);
    return 1 / this.#wealth.reduce((sum, wealth) => sum + Math.exp(2 * (wealth - total)), 0);
  }
}

/** The weights after all tokens. `losses`: per model the nats of each token, in one order. */
export function mixtureAfter(losses: readonly Float64Array[], settings: MixtureSettings = UNIVERSAL) {
  const mixture = new UniversalMixture(losses.length, settings);
  for (let at = 0; at < losses[0]!.length; at++) mixture.hear(losses.map((own) => -own[at]!));
  return { weights: mixture.weights(), effective: mixture.effective() };
}

/** Rounds of the search for the best constant mixture, and the change at which it ends. */
const ROUNDS = 2000;
const STILL = 1e-10;

/**
 * The constant mixture that would have earned the most, by expectation maximisation: each round multiplies a weight by
 * the mean of its model's share of the mixture. Cover 1984, https://doi.org/10.1109/TIT.1984.1056869.
 */
export function bestConstantMixture(losses: readonly Float64Array[]): Float64Array {
  const count = losses.length;
  const tokens = losses[0]!.length;
  let weights = new Float64Array(count).fill(1 / count);
  for (let round = 0; round < ROUNDS; round++) {
    const next = new Float64Array(count);
    for (let at = 0; at < tokens; at++) {
      const least = losses.reduce((a, own) => Math.min(a, own[at]!), Number.POSITIVE_INFINITY);
      const shares = losses.map((own, i) => weights[i]! * Math.exp(least - own[at]!));
      const sum = shares.reduce((a, b) => a + b, 0);
      for (const [i, share] of shares.entries()) next[i]! += sum > 0 ? share / sum / tokens : weights[i]! / tokens;
    }
    const moved = next.reduce((most, w, i) => Math.max(most, Math.abs(w - weights[i]!)), 0);
    weights = next;
    if (moved < STILL) break;
  }
  return weights;
}
