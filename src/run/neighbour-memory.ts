/**
 * A memory of unit features with labels, in which the nearest vote. Zhang et al., "AdaNPC", ICML 2023,
 * https://arxiv.org/abs/2304.12566
 *
 *   score_c = min(1, 1e-5 + sum_{j: label c} w_j),  w = softmax(s / T) over the k largest cosines s, or over all of at
 *   least `ball`
 *
 * Host, f64: memory times features of multiplications for a row. Of equal cosines the older entry comes first.
 */
const FLOOR = 1e-5;

export interface VoteOptions {
  readonly k: number;
  /** T */
  readonly temperature: number;
  /** Entries of at least this cosine vote in place of the k nearest; the nearest alone where there is none. */
  readonly ball?: number | undefined;
  /** Most entries; the oldest go first. */
  readonly cap: number;
}

/** A vector of length 1; one of length 0 stays as it is. */
export function unit(x: ArrayLike<number>): Float64Array {
  const made = Float64Array.from(x);
  const length = Math.sqrt(made.reduce((sum, v) => sum + v * v, 0));
  return length > 0 ? made.map((v) => v / length) : made;
}

export class NeighbourMemory {
  readonly #classes: number;
  readonly #options: VoteOptions;
  #features: Float64Array[] = [];
  #labels: number[] = [];
  /** Entries before this one have gone. */
  #first = 0;

  constructor(classes: number, options: VoteOptions) {
    this.#classes = classes;
    this.#options = options;
  }

  get size(): number {
    return this.#labels.length - this.#first;
  }

  add(feature: ArrayLike<number>, label: number): void {
    this.#features.push(unit(feature));
    this.#labels.push(label);
    this.#first = Math.max(this.#first, this.#labels.length - this.#options.cap);
    if (this.#first < 4096) return;
    this.#features = this.#features.slice(this.#first);
    this.#labels = this.#labels.slice(this.#first);
    this.#first = 0;
  }

  /** Scores of the classes (K) for a feature. Throws RangeError where the memory is empty. */
  scores(feature: ArrayLike<number>): Float64Array {
    if (this.size === 0) throw new RangeError("the memory is empty");
    const { k, temperature, ball } = this.#options;
    const own = unit(feature);
    const found = Array.from({ length: this.size }, (_, i) => {
      const entry = this.#features[this.#first + i]!;
      let cosine = 0;
      for (let d = 0; d < own.length; d++) cosine += own[d]! * entry[d]!;
      return { cosine, label: this.#labels[this.#first + i]! };
    });
    found.sort((a, b) => b.cosine - a.cosine);
    const most = found[0]!.cosine;
    const near = ball === undefined ? found.slice(0, k) : found.filter(({ cosine }) => cosine >= Math.min(ball, most));
    const weights = near.map(({ cosine }) => Math.exp((cosine - most) / temperature));
    const total = weights.reduce((a, b) => a + b, 0);
    const scores = new Float64Array(this.#classes).fill(FLOOR);
    for (const [i, { label }] of near.entries()) scores[label]! += weights[i]! / total;
    return scores.map((score) => Math.min(1, score));
  }
}
