/**
 * A small network that chooses operations on images and their amounts for each image, from what a model makes of it.
 *
 *   pi(x) = softmax(a),  amounts sigmoid(b + sigma e), e normal, of the outputs (a, b) for features x of mean 0 and
 *   deviation 1; some operations are drawn from pi, one after the other
 *
 * Operations have no gradient here, so it learns by rewards of what was drawn: the score function of both.
 */
import type { Random } from "../../data/random.ts";
import { logSoftmax } from "../../run/small-nets/categorical.ts";
import type { Kept, Numbers } from "../../run/small-nets/kept.ts";
import type { Pass } from "../../run/small-nets/mlp.ts";
import { Trained } from "../../run/small-nets/trained.ts";

/** Deviation of what amounts are drawn with. */
const SIGMA = 0.5;

/** What was drawn for an image. */
export interface DrawnOperations {
  /** Positions of operations, in order. */
  readonly operations: readonly number[];
  /** Of each, 0 to 1. */
  readonly amounts: readonly number[];
  /** Of each: the normal value that its amount was drawn with. */
  readonly noises: readonly number[];
}

export interface PolicyOptions {
  readonly features: number;
  readonly operations: number;
  readonly hidden: number;
  readonly lr: number;
  readonly seed: number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Rows of features (n, F) of mean 0 and deviation 1 each; a row that does not vary is 0. */
export function standardised(rows: readonly ArrayLike<number>[]): Float64Array {
  const width = rows[0]!.length;
  const all = new Float64Array(rows.length * width);
  for (const [i, row] of rows.entries()) {
    const list = Array.from(row);
    const mean = list.reduce((sum, x) => sum + x, 0) / width;
    const deviation = Math.sqrt(list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / width);
    if (deviation > 0) for (const [c, x] of list.entries()) all[i * width + c] = (x - mean) / deviation;
  }
  return all;
}

export class AugmentPolicy implements Kept {
  readonly #given: PolicyOptions;
  readonly #net: Trained;

  constructor(given: PolicyOptions) {
    this.#given = given;
    const sizes = [given.features, given.hidden, 2 * given.operations];
    this.#net = new Trained({ sizes, lr: given.lr, last: 0.01 }, given.seed, "madaug", "policy");
  }

  /** Of rows of standardised features, (n, F). */
  pass(features: Float64Array): Pass {
    return this.#net.net.forward(features, features.length / this.#given.features);
  }

  /** Outputs of a row of a pass: (2 operations). Without a pass all are 0: any operation, amounts around a half. */
  outputs(pass: Pass | undefined, row: number): Float64Array {
    const width = 2 * this.#given.operations;
    return pass ? pass.values.at(-1)!.subarray(row * width, (row + 1) * width) : new Float64Array(width);
  }

  /** Chances of the operations. */
  chances(outputs: Float64Array): number[] {
    return [...logSoftmax(outputs.subarray(0, this.#given.operations)).map(Math.exp)];
  }

  draw(outputs: Float64Array, count: number, random: Random): DrawnOperations {
    const chances = this.chances(outputs);
    const drawn = Array.from({ length: count }, () => ({ at: random.weighted(chances), noise: random.normal() }));
    return {
      operations: drawn.map(({ at }) => at),
      amounts: drawn.map(({ at, noise }) => sigmoid(outputs[this.#given.operations + at]! + SIGMA * noise)),
      noises: drawn.map(({ noise }) => noise),
    };
  }

  /** One step towards what was drawn, by how much each row's reward is above their mean. */
  learn(pass: Pass, drawn: readonly DrawnOperations[], rewards: readonly number[]): void {
    const { operations: count } = this.#given;
    const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
    const slopes = new Float64Array(drawn.length * 2 * count);
    for (const [row, { operations, noises }] of drawn.entries()) {
      const better = (rewards[row]! - mean) / rewards.length;
      const chances = this.chances(this.outputs(pass, row));
      for (const [k, at] of operations.entries()) {
        for (const [i, chance] of chances.entries())
          slopes[row * 2 * count + i]! -= better * (Number(i === at) - chance);
        slopes[row * 2 * count + count + at]! -= (better * noises[k]!) / SIGMA;
      }
    }
    this.#net.descend(pass, slopes);
  }

  state(): Numbers {
    return this.#net.state();
  }

  load(numbers: Numbers): void {
    this.#net.load(numbers);
  }
}
