/**
 * From logits to a token: repetition penalty, top-n-sigma, temperature, top-k, top-p, min-p, typical, epsilon, eta, in
 * the order of Hugging Face's processors; f64 on the host. Every draw is a function of (seed, sequence, place), so
 * batching changes nothing.
 */
import { keyedUnits } from "../../keyed-random.ts";
import { type Candidate, Likeliest } from "./likeliest.ts";

export interface SamplingOptions {
  /** 0: the most likely token. */
  readonly temperature: number;
  /** Keeps the k most likely; 0: all. */
  readonly topK: number;
  /** Keeps the fewest whose probabilities reach p. Holtzman et al. 2020, https://arxiv.org/abs/1904.09751 */
  readonly topP: number;
  /**
   * Keeps those with at least this share of the largest probability. Nguyen et al. 2024,
   * https://arxiv.org/abs/2407.01082
   */
  readonly minP: number;
  /**
   * Keeps those whose surprise is nearest to the entropy and that together reach this mass; 1 or nothing: all. Meister
   * et al. 2023, https://arxiv.org/abs/2202.00666
   */
  readonly typical?: number;
  /** Keeps those of at least this probability. Hewitt et al. 2022, https://arxiv.org/abs/2210.15191 */
  readonly epsilon?: number;
  /** Keeps those of at least min(eta, sqrt(eta) exp(-entropy)). The same paper. */
  readonly eta?: number;
  /**
   * Keeps logits within n standard deviations of all logits below the largest; 0 or nothing: all. Tang et al. 2024,
   * https://arxiv.org/abs/2411.07641
   */
  readonly topNSigma?: number;
  /**
   * Divides positive and multiplies negative logits of tokens seen. Keskar et al. 2019,
   * https://arxiv.org/abs/1909.05858
   */
  readonly repetitionPenalty: number;
  readonly seed: number;
  /** The temperature for some logits, above 0, in the place of `temperature`. */
  readonly heat?: (logits: Float32Array) => number;
}

export const GREEDY: SamplingOptions = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 };

/** The lowest index of the largest value. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** Logits with the tokens seen so far made less likely. */
export function penalized(logits: Float32Array, seen: Iterable<number>, penalty: number): Float64Array {
  const values = Float64Array.from(logits);
  if (penalty === 1) return values;
  for (const id of new Set(seen)) values[id] = values[id]! > 0 ? values[id]! / penalty : values[id]! * penalty;
  return values;
}

/** Logits within n standard deviations of the largest, the others -Infinity; the deviation is that of finite ones. */
function withinDeviations(values: Float64Array, n: number): Float64Array {
  let [count, sum, most] = [0, 0, Number.NEGATIVE_INFINITY];
  for (const x of values) {
    if (x === Number.NEGATIVE_INFINITY) continue;
    count++;
    sum += x;
    most = Math.max(most, x);
  }
  const mean = sum / count;
  let squares = 0;
  for (const x of values) if (x > Number.NEGATIVE_INFINITY) squares += (x - mean) ** 2;
  const least = most - n * Math.sqrt(squares / count);
  return values.map((x) => (x >= least ? x : Number.NEGATIVE_INFINITY));
}

/** - sum p log p, in nats. */
const entropyOf = (list: readonly Candidate[]): number =>
  list.reduce((h, { p }) => (p > 0 ? h - p * Math.log(p) : h), 0);

/** Those whose surprise is nearest to the entropy, as many as reach a mass; likeliest first. */
function typicalOf(list: readonly Candidate[], mass: number): Candidate[] {
  const entropy = entropyOf(list);
  const odd = ({ p }: Candidate) => Math.abs(-Math.log(p) - entropy);
  let reached = 0;
  const kept = new Set<number>();
  for (const { id, p } of [...list].sort((a, b) => odd(a) - odd(b) || a.id - b.id)) {
    kept.add(id);
    reached += p;
    if (reached >= mass) break;
  }
  return list.filter(({ id }) => kept.has(id));
}

/** What may be drawn, most likely first, with probabilities that sum to 1. */
export function candidates(given: Float64Array, options: SamplingOptions): Candidate[] {
  const { temperature, topK, topP, minP, typical = 1, epsilon = 0, eta = 0, topNSigma = 0 } = options;
  const values = topNSigma > 0 ? withinDeviations(given, topNSigma) : given;
  const likeliest = new Likeliest(values, temperature);
  let list = likeliest.take((count, mass, least) => {
    if (topK > 0) return count >= topK;
    // Sums differ by how they are rounded.
    if (topP < 1) return mass >= likeliest.total * Math.min(1, topP + 1e-9);
    return least < minP;
  });
  if (topK > 0) list = list.slice(0, topK);
  const normalised = (sum = list.reduce((total, { p }) => total + p, 0)) => {
    list = list.map(({ id, p }) => ({ id, p: p / sum }));
  };
  normalised(topK > 0 ? undefined : likeliest.total);
  if (topP < 1) {
    let reached = 0;
    const end = list.findIndex(({ p }) => {
      reached += p;
      return reached >= topP;
    });
    if (end >= 0) list = list.slice(0, end + 1);
    normalised();
  }
  if (minP > 0) {
    const least = minP * list[0]!.p;
    list = list.filter(({ p }) => p >= least);
    normalised();
  }
  if (topNSigma > 0 || typical < 1) list = list.filter(({ p }) => p > 0);
  if (typical < 1) {
    list = typicalOf(list, typical);
    normalised();
  }
  const atLeast = (least: number) => {
    list = list.filter(({ p }, place) => place === 0 || p >= least);
    normalised();
  };
  if (epsilon > 0) atLeast(epsilon);
  if (eta > 0) atLeast(Math.min(eta, Math.sqrt(eta) * Math.exp(-entropyOf(list))));
  return list;
}

/** Whether some tokens cannot be drawn. */
const restricts = ({ topK, topP, minP, typical = 1, epsilon = 0, eta = 0, topNSigma = 0 }: SamplingOptions): boolean =>
  topK > 0 || topP < 1 || minP > 0 || typical < 1 || epsilon > 0 || eta > 0 || topNSigma > 0;

/** Probabilities of ids: of all of them, or of the few that can be drawn. */
export type Distribution = Float64Array | ReadonlyMap<number, number>;

/** What `Chooser` draws the next token from, given all before it. */
export function distributionOf(logits: Float32Array, seen: readonly number[], options: SamplingOptions): Distribution {
  const values = penalized(logits, seen, options.repetitionPenalty);
  const { temperature } = options;
  if (temperature === 0) return new Map([[argmax(values), 1]]);
  if (restricts(options)) return new Map(candidates(values, options).map(({ id, p }) => [id, p]));
  const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = values.map((x) => Math.exp((x - most) / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

export const probabilityOf = (of: Distribution, id: number): number =>
  (of instanceof Float64Array ? of[id] : of.get(id)) ?? 0;

/**
 * The id at a share of the sum of what `weigh` makes of the probabilities, 0 <= `unit` < 1; undefined where it is 0.
 */
export function drawn(
  of: Distribution,
  unit: number,
  weigh: (id: number, p: number) => number = (_, p) => p,
): number | undefined {
  let total = 0;
  for (const [id, p] of of.entries()) total += weigh(id, p);
  let left = unit * total;
  let last: number | undefined;
  for (const [id, p] of of.entries()) {
    const weight = weigh(id, p);
    if (!(weight > 0)) continue;
    last = id;
    left -= weight;
    if (left < 0) break;
  }
  return last;
}

/** Chooses the tokens of one sequence. */
export class Chooser {
  readonly #options: SamplingOptions;
  readonly #unit: () => number;

  /** `key` distinguishes the sequence from others of the same seed. */
  constructor(options: SamplingOptions, key: string) {
    this.#options = options;
    this.#unit = keyedUnits(options.seed, key);
  }

  /** The next token, given all before it. */
  choose(logits: Float32Array, seen: readonly number[]): number {
    const { repetitionPenalty, heat } = this.#options;
    const temperature = heat?.(logits) ?? this.#options.temperature;
    const values = penalized(logits, seen, repetitionPenalty);
    if (temperature === 0) return argmax(values);
    if (!restricts(this.#options)) return new Likeliest(values, temperature).at(this.#unit());
    const list = candidates(values, { ...this.#options, temperature });
    let left = this.#unit();
    for (const { id, p } of list) {
      left -= p;
      if (left < 0) return id;
    }
    return list.at(-1)!.id;
  }
}
