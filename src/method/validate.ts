/**
 * From the texts of an option to its value: read as the type asks, then checked by arktype.
 *
 * arktype takes 0.1 s to load, so plain definitions whose value is plainly right are accepted without it; whatever
 * else, and every refusal, is arktype's word.
 */
import { UserError } from "../errors.ts";
import { nearest } from "./nearest.ts";
import type { OptionSpec, Options } from "./options.ts";

/** What was typed for an option, and where: `--density`, `INGOT_DENSITY`, `density in run.yml`. */
export interface Given {
  readonly texts: readonly string[];
  readonly origin: string;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const LITERALS = /^\(?\s*'[^']*'(\s*\|\s*'[^']*')*\s*\)?$/;
const RANGE = /^(?:(-?[\d.e+-]+)\s*(<=?)\s*)?number(\.integer)?(?:\s*(<=?|>=?)\s*(-?[\d.e+-]+))?$/;

/** The strings that a definition lists (`'sum' | 'count'`); empty if it lists none. */
export const literalsOf = (definition: string): string[] =>
  [...definition.matchAll(/'([^']*)'/g)].map((match) => match[1]!);

/** The definition of an array's elements, or undefined for what is no array. */
export function elementOf(definition: string): string | undefined {
  if (!definition.endsWith("[]")) return undefined;
  return definition.slice(0, -2).replace(/^\((.*)\)$/, "$1");
}

/** A text as the definition asks: a number where it names numbers and the text is one, else a string. */
function read(text: string, definition: string): unknown {
  const words = definition.replace(/'[^']*'/g, "");
  if (/\bnumber\b/.test(words) && NUMBER.test(text.trim()) && Number.isFinite(Number(text))) return Number(text);
  if (/\bboolean\b/.test(words) && (text === "true" || text === "false")) return text === "true";
  return text;
}

/** True if `value` surely fits the definition; false if it does not or if the definition is not a plain one. */
function plainlyFits(value: unknown, definition: string): boolean {
  if (definition === "string") return typeof value === "string";
  if (definition === "boolean") return typeof value === "boolean";
  if (LITERALS.test(definition)) return literalsOf(definition).includes(value as string);
  const range = RANGE.exec(definition);
  if (!range || typeof value !== "number" || !Number.isFinite(value)) return false;
  const [, low, lowSign, integer, sign, bound] = range;
  const compare = (left: number, op: string | undefined, right: number) =>
    op === "<" ? left < right : op === "<=" ? left <= right : op === ">" ? left > right : left >= right;
  if (integer && !Number.isInteger(value)) return false;
  if (low !== undefined && !compare(Number(low), lowSign, value)) return false;
  return bound === undefined || compare(value, sign, Number(bound));
}

/**
 * The value of an option. Arrays come from repeated flags and, unless they hold strings, from commas.
 * Throws UserError naming the origin, what was expected and what was found.
 */
export async function optionValue(name: string, spec: OptionSpec, { texts, origin }: Given): Promise<unknown> {
  const element = elementOf(spec.type);
  const split = spec.per === "model" || (element !== undefined && element !== "string");
  const parts = split ? texts.flatMap((text) => text.split(",").map((part) => part.trim())) : texts;

  if (element === undefined && spec.per !== "model") {
    if (parts.length > 1)
      throw new UserError(
        `${origin}: expected one value but found ${spec.secret ? parts.length : parts.join(" and ")}`,
        "give it once",
      );
    return check(name, spec, spec.type, parts[0]!, origin);
  }
  const values: unknown[] = [];
  for (const part of parts) values.push(await check(name, spec, element ?? spec.type, part, origin));
  return element === undefined && values.length === 1 ? values[0] : values;
}

async function check(name: string, spec: OptionSpec, definition: string, text: string, origin: string) {
  const value = read(spec.spelling?.(text) ?? text, definition);
  if (plainlyFits(value, definition)) return value;
  const { type } = await import("./ark.ts");
  const result = type.raw(definition)(value);
  if (!(result instanceof type.errors)) return result;
  const expected = result.map((problem) => wordsOf(problem.expected)).join(" and ");
  const near = nearest(text, literalsOf(definition));
  const hint = near ? `did you mean ${near}?` : `--${name.replaceAll("_", "-")}: ${spec.help}`;
  throw new UserError(`${origin}: expected ${expected} but found ${text === "" ? "nothing" : text}`, hint);
}

/** arktype's words as they read after "expected": intersections come as a list, alternatives as a sentence. */
function wordsOf(expected: string): string {
  return expected
    .replace(/^must be (.*) \(was .*\)$/s, "$1")
    .split("\n")
    .map((line) => line.replace(/^\s*◦ /, "").replace(/^(non-)?(positive|negative)$/, "a $& number"))
    .filter((line) => line !== "")
    .join(" and ");
}

/**
 * All values of a table: what was given, else the default. Throws UserError for bad values and missing required
 * options.
 */
export async function valuesOf(table: Options, given: ReadonlyMap<string, Given>): Promise<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(table)) {
    const found = given.get(name);
    if (found) values[name] = await optionValue(name, spec, found);
    else if (spec.required) throw new UserError(`--${name.replaceAll("_", "-")} is missing`, `it is: ${spec.help}`);
    else values[name] = structuredClone(spec.default);
  }
  return values;
}

/**
 * Like `valuesOf` for a script that reads method options itself: a scalar that fits is a setting, anything else (lists,
 * gradients, values out of range) is left to the script, which has the text as typed.
 */
export function plainSettings(table: Options, raw: ReadonlyMap<string, string>): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(table)) {
    const text = raw.get(name);
    if (text === undefined) settings[name] = structuredClone(spec.default);
    else if (plainlyFits(read(text, spec.type), spec.type)) settings[name] = read(text, spec.type);
  }
  return settings;
}
