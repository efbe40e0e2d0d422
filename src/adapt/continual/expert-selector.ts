/**
 * Which expert a row is for: softmax regression on features that no expert changes. Features are brought to mean 0 and
 * deviation 1 over the rows that it learns from; it learns by whole-batch descent in f64 on the host, from zero.
 */
import { meanOf } from "./buffer.ts";

const STEPS = 300;
const RATE = 0.5;
const DECAY = 1e-3;

const softmax = (logits: readonly number[]): number[] => {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
};

export class ExpertSelector {
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  /** By expert: weights of the features, and a bias. */
  readonly #rows: readonly Float64Array[];

  private constructor(mean: Float64Array, deviation: Float64Array, rows: readonly Float64Array[]) {
    this.#mean = mean;
    this.#deviation = deviation;
    this.#rows = rows;
  }

  /** Learns from rows, of which the expert is known. */
  static fit(features: readonly Float32Array[], experts: readonly number[], count: number): ExpertSelector {
    const mean = meanOf(features);
    const deviation = mean.map((m, i) =>
      Math.sqrt(features.reduce((sum, row) => sum + (row[i]! - m) ** 2 / features.length, 0)),
    );
    const rows = Array.from({ length: count }, () => new Float64Array(mean.length + 1));
    const selector = new ExpertSelector(mean, deviation, rows);
    const inputs = features.map((row) => selector.#normal(row));
    for (let step = 0; step < STEPS; step++) {
      const change = rows.map((row) => Float64Array.from(row, (w, i) => (i < mean.length ? DECAY * w : 0)));
      for (const [n, x] of inputs.entries()) {
        const found = softmax(selector.#logits(x));
        for (const [e, row] of change.entries()) {
          const error = (found[e]! - (experts[n] === e ? 1 : 0)) / inputs.length;
          for (let i = 0; i < x.length; i++) row[i]! += error * x[i]!;
        }
      }
      for (const [e, row] of rows.entries()) for (let i = 0; i < row.length; i++) row[i]! -= RATE * change[e]![i]!;
    }
    return selector;
  }

  /** The expert of a row by its features; the first of equals. */
  of(features: Float32Array): number {
    const logits = this.#logits(this.#normal(features));
    return logits.indexOf(Math.max(...logits));
  }

  /** Features of mean 0 and deviation 1, and a 1 for the bias. One that never varies says nothing. */
  #normal(row: Float32Array): Float64Array {
    const found = new Float64Array(row.length + 1).fill(1);
    for (const [i, x] of row.entries()) {
      const deviation = this.#deviation[i]!;
      found[i] = deviation > 1e-12 ? (x - this.#mean[i]!) / deviation : 0;
    }
    return found;
  }

  #logits(x: Float64Array): number[] {
    return this.#rows.map((row) => row.reduce((sum, w, i) => sum + w * x[i]!, 0));
  }
}
