/** Numbers made worse by a corruption. */
import { UserError } from "../../errors.ts";
import type { Random } from "../random.ts";
import type { Corruption, ImageShape } from "./contract.ts";

export interface CorruptedNumbers {
  readonly amount: number;
  /** The least and the largest value; what lies outside is cut off there. */
  readonly range: readonly [low: number, high: number];
  /** Channels, height and width; one channel and a square when left out. */
  readonly shape?: readonly number[] | undefined;
  readonly random: Random;
  /** For messages. */
  readonly place: string;
}

const sidesOf = (count: number, shape: readonly number[] | undefined): ImageShape => {
  const side = Math.round(Math.sqrt(count));
  const [channels = 1, height = side, width = side] = shape ?? [];
  return [channels, height, width];
};

/** Whether so many numbers are an image of a shape; of one channel and a square where none is given. */
export const isImage = (count: number, shape: readonly number[] | undefined): boolean =>
  sidesOf(count, shape).reduce((a, b) => a * b, 1) === count;

/** The shape of a row's image. Throws UserError where the numbers are of another one. */
function shapeOf(count: number, shape: readonly number[] | undefined, place: string): ImageShape {
  const sides = sidesOf(count, shape);
  if (isImage(count, shape)) return sides;
  const [channels, height, width] = sides;
  throw new UserError(
    `${place}: ${count} numbers are no image of ${channels} x ${height} x ${width}`,
    "bun run data corrupt --shape 3,32,32 says channels, height and width",
  );
}

/** What numbers become. Throws TypeError for a corruption of words, UserError for numbers that are no image. */
export function corruptedNumbers(
  method: Corruption,
  values: readonly number[],
  { amount, range: [low, high], shape, random, place }: CorruptedNumbers,
): number[] {
  const x = values.map((v) => (v - low) / (high - low));
  if (!method.image && !method.numbers) throw new TypeError(`${method.name} is of texts`);
  const worse = method.image
    ? method.image(x, amount, { shape: shapeOf(x.length, shape, place), random })
    : method.numbers!(x, amount, random);
  return worse.map((v) => low + (high - low) * Math.min(1, Math.max(0, v)));
}
