/**
 * A small adapter on what a classifier's head reads, with a head of its own, on the host in f64:
 *
 *   h' = h + U max(0, D h),  z = W h' + b         D (r, d), U (d, r), W (K, d)
 *
 * U begins at 0 and the head as the model's, so a new one changes nothing. It learns by descent on the mean entropy of
 * its answers. With r 0 the head alone is its own.
 */
import { keyedNormals } from "../../keyed-random.ts";

export interface HeadWeights {
  /** (K, d) */
  readonly weight: Float64Array;
  /** (K) */
  readonly bias: Float64Array;
}

export class FeatureAdapter {
  readonly rank: number;
  readonly #width: number;
  readonly #classes: number;
  readonly #down: Float64Array;
  readonly #up: Float64Array;
  readonly #weight: Float64Array;
  readonly #bias: Float64Array;

  /** D is drawn by (seed, name). */
  constructor(
    { weight, bias }: HeadWeights,
    given: { readonly rank: number; readonly seed: number; readonly name: string },
  ) {
    const { rank, seed, name } = given;
    this.rank = rank;
    this.#classes = bias.length;
    this.#width = weight.length / bias.length;
    this.#down = Float64Array.from(keyedNormals(rank * this.#width, Math.sqrt(2 / this.#width), seed, name));
    this.#up = new Float64Array(this.#width * rank);
    this.#weight = weight.slice();
    this.#bias = bias.slice();
  }

  /** D, U, W and b, as they are held. */
  get parts(): readonly Float64Array[] {
    return [this.#down, this.#up, this.#weight, this.#bias];
  }

  /** Numbers that it has. */
  get size(): number {
    return this.parts.reduce((sum, { length }) => sum + length, 0);
  }

  /** Which units of D act on a feature, as a text. */
  pattern(feature: ArrayLike<number>): string {
    return this.#inner(feature)
      .map((x) => (x > 0 ? 1 : 0))
      .join("");
  }

  #inner(feature: ArrayLike<number>): number[] {
    return Array.from({ length: this.rank }, (_, r) => {
      let sum = 0;
      for (let i = 0; i < this.#width; i++) sum += this.#down[r * this.#width + i]! * feature[i]!;
      return Math.max(0, sum);
    });
  }

  #adapted(feature: ArrayLike<number>, inner: readonly number[]): Float64Array {
    return Float64Array.from({ length: this.#width }, (_, i) =>
      inner.reduce((sum, a, r) => sum + this.#up[i * this.rank + r]! * a, feature[i]!),
    );
  }

  #logits(adapted: Float64Array): number[] {
    return Array.from({ length: this.#classes }, (_, k) => {
      let sum = this.#bias[k]!;
      for (let i = 0; i < this.#width; i++) sum += this.#weight[k * this.#width + i]! * adapted[i]!;
      return sum;
    });
  }

  /** (K) */
  logits(feature: ArrayLike<number>): number[] {
    return this.#logits(this.#adapted(feature, this.#inner(feature)));
  }

  /** Mean entropy of the answers to features, and a step down its slope. */
  step(features: readonly ArrayLike<number>[], rate: number): number {
    const [d, k, r] = [this.#width, this.#classes, this.rank];
    const slopes = this.parts.map(({ length }) => new Float64Array(length));
    const [down, up, weight, bias] = slopes as [Float64Array, Float64Array, Float64Array, Float64Array];
    let mean = 0;
    for (const feature of features) {
      const inner = this.#inner(feature);
      const adapted = this.#adapted(feature, inner);
      const z = this.#logits(adapted);
      const most = Math.max(...z);
      const level = Math.log(z.reduce((sum, x) => sum + Math.exp(x - most), 0)) + most;
      const p = z.map((x) => Math.exp(x - level));
      const entropy = -p.reduce((sum, x, c) => sum + x * (z[c]! - level), 0);
      mean += entropy / features.length;
      const dz = p.map((x, c) => (-x * (z[c]! - level + entropy)) / features.length);
      const dh = new Float64Array(d);
      for (let c = 0; c < k; c++) {
        bias[c]! += dz[c]!;
        for (let i = 0; i < d; i++) {
          weight[c * d + i]! += dz[c]! * adapted[i]!;
          dh[i]! += dz[c]! * this.#weight[c * d + i]!;
        }
      }
      for (let j = 0; j < r; j++) {
        if (inner[j] === 0) continue;
        let da = 0;
        for (let i = 0; i < d; i++) {
          da += dh[i]! * this.#up[i * r + j]!;
          up[i * r + j]! += dh[i]! * inner[j]!;
        }
        for (let i = 0; i < d; i++) down[j * d + i]! += da * feature[i]!;
      }
    }
    for (const [part, own] of this.parts.entries())
      for (let i = 0; i < own.length; i++) own[i]! -= rate * slopes[part]![i]!;
    return mean;
  }
}
