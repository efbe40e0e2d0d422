/**
 * An example for a classifier: {"x": [..], "label": 3}, or an image (H, W) or (H, W, channels): {"image": [[..], ..],
 * "label": 3}. With "y", a number or a list of them, in the place of the label it is for what predicts numbers; with
 * neither for what needs none.
 */
import { UserError } from "../../errors.ts";
import type { Json, JsonObject } from "../../json.ts";
import { kindOf } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import { IGNORED } from "../rows.ts";

export const vector: RowFormat = {
  needs: ["x", "label"],
  structured: ["x"],
  numeric: ["label"],
  read: (row, place) => {
    const label = classOf(row, place);
    const values = valuesAt(row, "x", { least: 1, most: 1, wanted: "a list of numbers" }, place);
    return { form: "example", ...values, label, ...numbersAt(row, place) };
  },
};

export const image: RowFormat = {
  needs: ["image", "label"],
  structured: ["image"],
  numeric: ["label"],
  read: (row, place) => {
    const label = classOf(row, place);
    const wanted = "rows of pixels, or rows of pixels of channels";
    const { x, shape } = valuesAt(row, "image", { least: 2, most: 3, wanted }, place);
    return { form: "example", ...channelsFirst(x, shape), label, ...numbersAt(row, place) };
  },
};

/** The same with numbers to predict; a row that has a class, too, is of the forms above, and keeps its numbers. */
export const vectorNumbers: RowFormat = { ...vector, needs: ["x", "y"], structured: ["x", "y"], numeric: ["y"] };
export const imageNumbers: RowFormat = { ...image, needs: ["image", "y"], structured: ["image", "y"], numeric: ["y"] };

/** The same without labels, for what needs none; only of rows that have no other form. */
export const bareVector: RowFormat = { ...vector, needs: ["x"] };
export const bareImage: RowFormat = { ...image, needs: ["image"] };

/** The class, or IGNORED of a row without one. */
function classOf({ label }: JsonObject, place: string): number {
  if (label === undefined) return IGNORED;
  if (typeof label === "number" && Number.isInteger(label) && label >= 0 && label <= 0x7fffffff) return label;
  throw new UserError(`${place}: label should be a class (0, 1, ...), found ${kindOf(label)}`);
}

/** The numbers to predict, where a row has them. */
function numbersAt({ y }: JsonObject, place: string): { y?: Float32Array } {
  if (y === undefined) return {};
  const row = { y: Array.isArray(y) ? y : [y] };
  return { y: valuesAt(row, "y", { least: 1, most: 1, wanted: "a number or a list of numbers" }, place).x };
}

interface Rank {
  readonly least: number;
  readonly most: number;
  /** In words. */
  readonly wanted: string;
}

/** The nested lists of numbers under a key, checked before memory is taken for them: row-major f32, and their shape. */
function valuesAt(row: JsonObject, key: string, rank: Rank, place: string): { x: Float32Array; shape: number[] } {
  const shape: number[] = [];
  for (let level: Json | undefined = row[key]; Array.isArray(level); level = level[0]) shape.push(level.length);
  if (shape.length < rank.least || shape.length > rank.most || shape.includes(0)) {
    const found = shape.length === 0 ? kindOf(row[key]) : `a list of shape (${shape.join(", ")})`;
    throw new UserError(`${place}: ${key} should be ${rank.wanted}, found ${found}`);
  }
  checkLengths(row[key], shape, key, place);
  const x = new Float32Array(shape.reduce((a, b) => a * b));
  let at = 0;
  const fill = (level: Json | undefined): void => {
    if (Array.isArray(level)) {
      for (const item of level) fill(item);
      return;
    }
    const value = typeof level === "number" ? Math.fround(level) : Number.NaN;
    if (!Number.isFinite(value)) {
      const what = typeof level === "number" ? "numbers within the range of f32" : "numbers";
      throw new UserError(`${place}: ${key} should hold ${what}, found ${kindOf(level)} at position ${at}`);
    }
    x[at++] = value;
  };
  fill(row[key]);
  return { x, shape };
}

/** Throws UserError unless every list is as long as the first of its depth. */
function checkLengths(
  level: Json | undefined,
  [length, ...inner]: readonly number[],
  key: string,
  place: string,
): void {
  if (!Array.isArray(level) || level.length !== length) {
    const found = Array.isArray(level) ? `one of ${level.length}` : kindOf(level);
    throw new UserError(`${place}: ${key} begins with a list of ${length} values, but has ${found} beside it`);
  }
  if (inner.length > 0) for (const item of level) checkLengths(item, inner, key, place);
  else if (level.some(Array.isArray))
    throw new UserError(`${place}: ${key} should hold numbers, found an array beside numbers`);
}

/** An image (H, W) or (H, W, C) as models take it: (C, H, W). */
function channelsFirst(
  x: Float32Array,
  [h = 0, w = 0, c = 1]: readonly number[],
): { x: Float32Array; shape: number[] } {
  const turned = new Float32Array(x.length);
  for (let channel = 0; channel < c; channel++) {
    for (let i = 0; i < h * w; i++) turned[channel * h * w + i] = x[i * c + channel]!;
  }
  return { x: turned, shape: [c, h, w] };
}
