/** What a denoiser is told of the noise of its rows. */
import type { Tensor } from "../tensor/tensor.ts";

/** How noisy the rows of a denoiser are; the first dimension is 1 where all rows are alike. */
export interface NoiseInputs {
  /** (batch, 2 frequencies) f32, Fourier features of the level. */
  readonly features: Tensor;
  /** (batch, 1) f32 each: what the row, the row's part of the answer and the network's part are multiplied by. */
  readonly into: Tensor;
  readonly skip: Tensor;
  readonly out: Tensor;
  /** (batch) i32, of a model of classes: the class of each row, or their number where it has none. */
  readonly classes?: Tensor | undefined;
}

/** How a denoiser is told of noise: levels are standard deviations of what is added. */
export interface NoiseSizes {
  /** Sines and cosines that tell it the level, of each as many. */
  readonly frequencies: number;
  /** Least and largest level. */
  readonly low: number;
  readonly high: number;
  /** Standard deviation of the values of rows. */
  readonly data: number;
}
