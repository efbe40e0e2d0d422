/** A corruption put to an input: numbers are brought to 0 to 1 and cut off there, texts are taken apart into words. */
import { UserError } from "../../errors.ts";
import { wordsOf } from "../augmenting/eda.ts";
import type { Random } from "../random.ts";
import type { Corruption } from "./contract.ts";
import { corruptedNumbers, isImage } from "./numbers.ts";

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

/** Whether a corruption goes with inputs of so many numbers, or with texts. */
export function fits(method: Corruption, count: number | "text", shape: readonly number[] | undefined): boolean {
  if (count === "text") return method.words !== undefined;
  return method.numbers !== undefined || (method.image !== undefined && isImage(count, shape));
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
export function corruptedInput(
  method: Corruption,
  values: readonly number[],
  { severity, range: [low = 0, high = 1], shape }: ApplyOptions,
  { random, place }: { readonly random: Random; readonly place: string },
): number[] {
  if (method.words) throw new UserError(`${place}: ${method.name} is of texts, found numbers`);
  const amount = method.amounts[severity - 1]!;
  const worse = corruptedNumbers(method, values, { amount, range: [low, high], shape, random, place });
  // Four digits, as pictures of `data` have three.
  return worse.map((v) => Number(v.toFixed(4)));
}
