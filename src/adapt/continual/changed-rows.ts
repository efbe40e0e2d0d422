/**
 * The rows of a batch once more, changed: images moved, turned or mixed, numbers with noise. What is drawn is a
 * function of seed, stage, epoch and batch.
 */
import { isPairs, isTokens, type NumbersBatch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { keyedNormals } from "../../keyed-random.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { PartBatch, StreamRows } from "./rows.ts";

/** The numbers of a batch. Throws UserError, naming what asks for them, for texts. */
export function numbersOf({ batch }: PartBatch, flag: string): NumbersBatch {
  if (!isTokens(batch) && !isPairs(batch) && "x" in batch) return batch;
  throw areTexts(flag);
}

/** Throws UserError, before any work, where rows cannot be changed as this option asks. */
export function checkChangeable({ tasks }: StreamRows, flag: string, areImages: boolean): void {
  const [first] = tasks;
  const row = first?.kind === "examples" ? first.rows[0] : undefined;
  if (!row || !("x" in row)) throw areTexts(flag);
  if (areImages) imageShape(row.shape, flag);
}

const areTexts = (flag: string): UserError =>
  new UserError(`${flag} changes images, or rows of numbers, and the tasks have texts`, "leave it out");

/** A value of its own for this batch and this purpose. */
export const drawn = ({ draw = "" }: PartBatch, seed: number, purpose: string): Random =>
  new Random(seed, purpose, draw);

/** Channels, height and width of images. Throws UserError for rows of another shape. */
export function imageShape(shape: readonly number[], flag: string): readonly [number, number, number] {
  if (shape.length === 3) return shape as [number, number, number];
  throw new UserError(
    `${flag} is for images of channels, height and width, and the rows are of shape (${shape.join(", ")})`,
    "take a model of images, or leave it out",
  );
}

/** Images (N, C, H, W) moved by up to `most` pixels each way, each on its own; what comes in is 0. */
export function moved({ rows, x, shape }: NumbersBatch, most: number, random: Random): Float32Array {
  const [channels, height, width] = imageShape(shape, "moving");
  const y = new Float32Array(x.length);
  for (let row = 0; row < rows; row++) {
    const [down, right] = [random.below(2 * most + 1) - most, random.below(2 * most + 1) - most];
    for (let plane = row * channels; plane < (row + 1) * channels; plane++)
      for (let i = Math.max(0, down); i < Math.min(height, height + down); i++)
        for (let j = Math.max(0, right); j < Math.min(width, width + right); j++)
          y[(plane * height + i) * width + j] = x[(plane * height + i - down) * width + j - right]!;
  }
  return y;
}

/** Images (N, C, S, S), each turned to the left by so many quarters. */
export function turned({ rows, x, shape }: NumbersBatch, quarters: readonly number[]): Float32Array {
  const [channels, height, width] = imageShape(shape, "turning");
  if (height !== width)
    throw new UserError(
      `images that are turned are as high as wide, and these are ${height} by ${width}`,
      "leave it out",
    );
  const y = new Float32Array(x.length);
  for (let row = 0; row < rows; row++)
    for (let plane = row * channels; plane < (row + 1) * channels; plane++)
      for (let i = 0; i < height; i++)
        for (let j = 0; j < width; j++) {
          let [a, b] = [i, j];
          for (let k = 0; k < quarters[row]!; k++) [a, b] = [b, width - 1 - a];
          y[(plane * height + i) * width + j] = x[(plane * height + a) * width + b]!;
        }
  return y;
}

/** Each row in halves with another: (x_i + x_j) / 2, j the partner of i. */
export function halved({ rows, x }: NumbersBatch, partners: readonly number[]): Float32Array {
  const size = x.length / rows;
  return Float32Array.from(x, (value, at) => {
    const row = Math.floor(at / size);
    return (value + x[partners[row]! * size + (at % size)]!) / 2;
  });
}

export interface Changes {
  /** Most pixels that images are moved; 0 for none. */
  readonly shift: number;
  /** Standard deviation of what is added to every number; 0 for none. */
  readonly noise: number;
}

/** Rows as another view shows them: moved, and with noise. */
export function otherView(part: PartBatch, { shift, noise }: Changes, seed: number, purpose: string): Float32Array {
  const numbers = numbersOf(part, "a second view");
  const x = shift > 0 ? moved(numbers, shift, drawn(part, seed, purpose)) : Float32Array.from(numbers.x);
  if (noise === 0) return x;
  const added = keyedNormals(x.length, noise, seed, `${purpose} noise ${part.draw ?? ""}`);
  return x.map((value, i) => value + added[i]!);
}

/** Declares what the model reads of changed rows (N, C): what its head would read. `prefix` tells it from the rows. */
export const recordChanged = (rec: Recorder, model: Model, { batch }: PartBatch, prefix: string): Tensor =>
  model.record(rec, recordInputs(rec, batch, prefix)).hidden;

/** Fills what `recordChanged` declared. */
export const fillChanged = (program: Program, part: PartBatch, x: Float32Array, prefix: string): void =>
  fillInputs(program, { ...numbersOf(part, "a second view"), x }, prefix);
