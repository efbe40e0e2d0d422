/** A corruption put to an input: numbers are brought to 0 to 1 and cut off there, texts are taken apart into words. */
import { UserError } from "../../errors.ts";
import { wordsOf } from "../augmenting/eda.ts";
import type { Random } from "../random.ts";
import type { Corruption, ImageShape } from "./contract.ts";

export interface ApplyOptions {
  /** 1 to 5 */
  readonly severity: number;
  /** Least and largest value of numbers. */
  readonly range: readonly number[];
  /** Of images: channels, height, width; one channel and a square when left out. */
  readonly shape?: readonly number[] | undefined;
  /** Of texts: what stands for hidden words. */
  readonly mask: string;
}

/** Throws UserError for values that are no range, and for sides that are no whole numbers. */
export function checkApply({ range, shape }: Pick<ApplyOptions, "range" | "shape">): void {
  if (range.length !== 2 || !(range[0]! < range[1]!))
    throw new UserError(`--range ${range.join(",")} is no range`, "give the least and the largest value: --range 0,1");
  if (shape && (shape.length !== 3 || shape.some((side) => !Number.isInteger(side) || side < 1)))
    throw new UserError(`--shape ${shape.join(",")} is no image`, "give channels, height and width: --shape 3,32,32");
}

/** The shape of so many numbers; undefined where they are no image of it. */
function imageOf(count: number, shape: readonly number[] | undefined): ImageShape | undefined {
  const side = Math.round(Math.sqrt(count));
  const [channels = 1, height = side, width = side] = shape ?? [];
  return channels * height * width === count ? [channels, height, width] : undefined;
}

/** Whether a corruption goes with inputs of so many numbers, or with texts. */
export function fits(method: Corruption, count: number | "text", shape: readonly number[] | undefined): boolean {
  if (count === "text") return method.words !== undefined;
  return method.numbers !== undefined || (method.image !== undefined && imageOf(count, shape) !== undefined);
}

/** The shape of a row's image. Throws UserError where the numbers are of another one. */
function shapeOf(count: number, shape: readonly number[] | undefined, place: string): ImageShape {
  const found = imageOf(count, shape);
  if (found) return found;
  const side = Math.round(Math.sqrt(count));
  const [channels = 1, height = side, width = side] = shape ?? [];
  throw new UserError(
    `${place}: ${count} numbers are no image of ${channels} x ${height} x ${width}`,
    "give channels, height and width: --shape 3,32,32",
  );
}

/** What a text becomes. Throws UserError for a corruption of numbers. */
export function corruptedText(
  method: Corruption,
  text: string,
  { severity, mask }: ApplyOptions,
  { random, place }: { readonly random: Random; readonly place: string },
): string {
  if (!method.words) throw new UserError(`${place}: ${method.name} is of lists of numbers, found string`);
  return method.words(wordsOf(text), method.amounts[severity - 1]!, { mask, random }).join(" ");
}

/** What numbers become. Throws UserError for a corruption of texts, and for images of another shape. */
export function corruptedNumbers(
  method: Corruption,
  values: readonly number[],
  { severity, range, shape }: ApplyOptions,
  { random, place }: { readonly random: Random; readonly place: string },
): number[] {
  if (method.words) throw new UserError(`${place}: ${method.name} is of texts, found numbers`);
  const amount = method.amounts[severity - 1]!;
  const [low = 0, high = 1] = range;
  const x = values.map((value) => (value - low) / (high - low));
  const worse = method.image
    ? method.image(x, amount, { shape: shapeOf(x.length, shape, place), random })
    : method.numbers!(x, amount, random);
  // Four digits, as pictures of `data` have three.
  return worse.map((v) => Number((low + (high - low) * Math.min(1, Math.max(0, v))).toFixed(4)));
}
