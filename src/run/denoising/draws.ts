/**
 * Random numbers of the batches of a training of denoisers: a function of the seed, the step and the batch's place in
 * it, so that a run that resumes draws the same; of held-out rows a function of the seed and their places alone.
 */
import { Random } from "../../data/random.ts";

export class StepDraws {
  readonly #seed: number;
  readonly #name: string;
  #step = 0;
  #batch = 0;

  constructor(seed: number, name: string) {
    this.#seed = seed;
    this.#name = name;
  }

  /** The step, from 1, that the next batches are of. */
  begin(step: number): void {
    this.#step = step;
    this.#batch = 0;
  }

  get step(): number {
    return this.#step;
  }

  /** The stream of the next batch. */
  next(): Random {
    return new Random(this.#seed, this.#name, this.#step, this.#batch++);
  }

  /** The stream of held-out rows. */
  fixed(places: readonly string[]): Random {
    return new Random(this.#seed, this.#name, "held out", ...places);
  }
}

/** Standard normal values. */
export const normals = (random: Random, count: number): Float32Array =>
  Float32Array.from({ length: count }, () => random.normal());

/** rows + sigma noise, row by row of `width` values. */
export const withNoise = (
  rows: Float32Array,
  noise: Float32Array,
  sigmas: ArrayLike<number>,
  width: number,
): Float32Array => rows.map((value, i) => value + sigmas[Math.floor(i / width)]! * noise[i]!);
