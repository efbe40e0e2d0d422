/**
 * JSON from files that cannot be trusted: headers, shard indexes, adapter configs, lineage.
 *
 * `JSON.parse` alone is not enough for them: it keeps the last of two equal keys without a word, and deep nesting costs
 * stack. So the text is walked once before it is parsed: nesting is bounded and every object's keys are checked to
 * differ. The walk trusts nothing about the grammar; what it lets through is judged by `JSON.parse`.
 */
import { UserError } from "./errors.ts";

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/**
 * A name as it may stand in a message: one that could confuse a terminal, or is very long, is quoted, escaped and cut.
 */
export function show(name: string): string {
  if (/^[\w.\-/:@+~, ()[\]#=%]+$/.test(name) && name.length <= 200) return name;
  const quoted = JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
  return quoted.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (c) => {
    return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Decodes UTF-8 word for word (a byte order mark stays). Throws UserError naming `what` when the bytes are not UTF-8.
 */
export function decodeText(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UserError(`${what} is not valid UTF-8`, "the file is damaged, or is no file of this kind");
  }
}

/**
 * Parses JSON whose nesting is at most `maxDepth` and whose keys differ within each object. `keys` are those of the
 * outermost object in the order of the text, which a JavaScript object would not keep for names such as "10".
 * Throws UserError that begins with `what`.
 */
export function parseJson(text: string, what: string, maxDepth = 64): { value: Json; keys: string[] } {
  const keys = walk(text, what, maxDepth);
  try {
    return { value: JSON.parse(text) as Json, keys };
  } catch (error) {
    const reason = (error as Error).message.replace(/^JSON Parse error: /, "").slice(0, 120);
    throw new UserError(`${what} is not JSON: ${show(reason)}`, "the file is damaged, or is no file of this kind");
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Checks depth and duplicates; gives the keys of the outermost object in order. */
function walk(text: string, what: string, maxDepth: number): string[] {
  const open: (Set<string> | undefined)[] = []; // the keys seen in each open object; undefined for an array
  let root: Set<string> | undefined;
  let key = false; // the next string is a key
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      const end = endOfString(text, i + 1);
      const seen = open.at(-1);
      if (key && seen) {
        const raw = text.slice(i + 1, end);
        const name = raw.includes("\\") ? unescaped(raw) : raw;
        if (seen.has(name)) {
          throw new UserError(
            `${what} has the key ${show(name)} twice`,
            "no reader can know which of the two is meant; write the file again",
          );
        }
        seen.add(name);
        key = false;
      }
      i = end;
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      if (open.length === maxDepth) {
        throw new UserError(`${what} is nested deeper than ${maxDepth} levels`, "no file of this kind needs that");
      }
      const keys = code === OPEN_OBJECT ? new Set<string>() : undefined;
      if (open.length === 0) root = keys;
      open.push(keys);
      key = keys !== undefined;
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      open.pop();
      key = false;
    } else if (code === COMMA) {
      key = open.at(-1) !== undefined;
    }
  }
  return [...(root ?? [])];
}

/** Position of the quote that ends the string whose first character is at `from`; the end of the text if none does. */
function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (end - slashes > from && text.charCodeAt(end - slashes - 1) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

function unescaped(raw: string): string {
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw; // not JSON at all; JSON.parse of the whole text says so
  }
}

/**
 * A value with its keys in snake_case, as results for machines have them: `trainTokens` is `train_tokens`. What stands
 * below the keys in `names` keeps its keys: they are names that others gave.
 */
export function withSnakeKeys(value: object, names: readonly string[] = []): Record<string, unknown> {
  const changed = (inner: unknown): unknown => {
    if (Array.isArray(inner)) return inner.map(changed);
    if (typeof inner !== "object" || inner === null) return inner;
    return Object.fromEntries(
      Object.entries(inner).map(([key, below]) => [
        key.replaceAll(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        names.includes(key) ? below : changed(below),
      ]),
    );
  };
  return changed(value) as Record<string, unknown>;
}
