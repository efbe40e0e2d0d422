/** What files of rows give, whatever their kind: JSON values and where they stood. */
import { UserError } from "../../errors.ts";
import { decodeText, type Json, parseJson, show } from "../../json.ts";

export interface LocatedValue {
  readonly value: Json;
  /** File and line, or file and row, as messages name them. */
  readonly place: string;
}

/** Rows of more bytes are refused. */
export const MAX_ROW = 64 * 2 ** 20;

/** A number that may be too large for f64; text within strings may look like one. */
const LARGE = /\d[eE]\+?0*[1-9]\d\d|\d{300}/;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * The JSON value of a row; undefined where the text is blank. Throws UserError, beginning with `place`, for anything
 * else, and for a number that is too large to be one.
 */
export function parseRecord(bytes: Uint8Array, place: string): LocatedValue | undefined {
  const text = decodeText(bytes, place);
  if (text.trim() === "") return undefined;
  const { value } = parseJson(text, place);
  if (LARGE.test(text) && hasInfinite(value)) {
    const found = text.match(NUMBER)?.find((number) => !Number.isFinite(Number(number))) ?? "a number";
    throw new UserError(
      `${place}: ${show(found.length > 40 ? `${found.slice(0, 40)}…` : found)} is too large for a number`,
      "the largest is about 1.8e308; write it as text",
    );
  }
  return { value, place };
}

function hasInfinite(value: Json): boolean {
  if (typeof value === "number") return !Number.isFinite(value);
  return typeof value === "object" && value !== null && Object.values(value).some(hasInfinite);
}

/** Throws UserError for a row of more than `most` bytes. */
export function refuseLong(bytes: number, most: number, place: string): void {
  if (bytes <= most) return;
  const limit = most >= 2 ** 20 ? `${most / 2 ** 20} MiB` : `${most} bytes`;
  throw new UserError(
    `${place}: the row is larger than ${limit}`,
    "rows are separated by line ends; split long documents",
  );
}

/** Parts of a row as one. */
export const joined = (parts: readonly Uint8Array[]): Uint8Array =>
  parts.length === 1 ? parts[0]! : Buffer.concat(parts);
