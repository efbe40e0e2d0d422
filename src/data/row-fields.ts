/** Fields of rows, checked, and how messages name what was found instead. */
import { UserError } from "../errors.ts";
import { type Json, type JsonObject, show } from "../json.ts";

/** A value in words: "an empty array", "the number 5". */
export function kindOf(value: Json | undefined): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (typeof value === "object") return "an object";
  if (value === undefined) return "nothing";
  const text = show(String(value).slice(0, 60));
  const quoted = typeof value !== "string" || text.startsWith('"') ? text : `"${text}"`;
  return `the ${typeof value} ${quoted}`;
}

/** The keys of a row in words. */
export function keysOf(row: JsonObject): string {
  const keys = Object.keys(row);
  if (keys.length === 0) return "no keys";
  const listed = keys.slice(0, 8).map(show).join(", ");
  return `the keys ${listed}${keys.length > 8 ? ` and ${keys.length - 8} more` : ""}`;
}

/** The text under a key. Throws UserError where there is none; `advice` is for scripts without --columns. */
export function textAt(row: JsonObject, key: string, place: string, advice?: string): string {
  const value = row[key];
  if (typeof value === "string") return value;
  throw new UserError(`${place}: ${key} should be a string, found ${kindOf(value)}`, advice ?? adviceFor(value));
}

function adviceFor(value: Json | undefined): string {
  if (Array.isArray(value))
    return value.every((item) => typeof item === "string")
      ? "join the texts to one, or name another column with --columns"
      : "a conversation goes under messages, tokens under input_ids; --columns messages=NAME reads another column so";
  if (typeof value === "object") return "write its text alone, or name another column with --columns";
  return value === undefined ? "name the column that has it with --columns" : "write it in quotes";
}

/** The list of 31-bit integers under a key, none below `least`. Throws UserError where it is none. */
export function integersAt(row: JsonObject, key: string, least: number, place: string): Int32Array {
  const value = row[key];
  if (!Array.isArray(value)) {
    throw new UserError(`${place}: ${key} should be a list of integers, found ${kindOf(value)}`);
  }
  const out = new Int32Array(value.length);
  for (let i = 0; i < out.length; i++) {
    const item = value[i];
    if (typeof item !== "number" || !Number.isInteger(item) || item < least || item > 0x7fffffff) {
      throw new UserError(
        `${place}: ${key} should be a list of integers of at least ${least}, found ${kindOf(item)} at position ${i}`,
      );
    }
    out[i] = item;
  }
  return out;
}
