/**
 * Numbers as tokens, one for each digit and its place: 12.3 is `_1_1__2_0__3_-1_`, and -0.5 is `_-__0_0__5_-1_`. A
 * model that has such tokens reads and writes numbers as it does words.
 *
 * Born & Manica, Nature Machine Intelligence 2023 (Regression Transformer), https://arxiv.org/abs/2202.01338
 */
import { UserError } from "../../errors.ts";

/** What numbers look like: digits before the point, at most, and digits behind it, always as many. */
export interface Digits {
  readonly whole: number;
  readonly decimals: number;
}

/** A digit at its place: d · 10^place. */
export interface Numeral {
  readonly digit: number;
  readonly place: number;
}

const MINUS = "_-_";
const NUMERAL = /_(\d)_(-?\d+)_/g;

/** What stands between a text and what is said of it. */
export const BETWEEN = "|";

/** Reads `3.2`, three digits before the point and two behind it. Throws UserError for others. */
export function parseDigits(text: string, flag: string): Digits {
  const parts = /^(\d{1,2})\.(\d{1,2})$/.exec(text);
  const [whole, decimals] = [Number(parts?.[1]), Number(parts?.[2])];
  if (parts === null || whole < 1 || whole + decimals > 15)
    throw new UserError(
      `${flag} ${text} is not digits before the point, a point and digits behind it`,
      "for example 3.2 for numbers up to 999.99; at least one before the point, at most 15 together",
    );
  return { whole, decimals };
}

/** All tokens that numbers of these digits are made of. */
export function numeralTokens({ whole, decimals }: Digits): string[] {
  const places = Array.from({ length: whole + decimals }, (_, i) => whole - 1 - i);
  return [MINUS, ...places.flatMap((place) => Array.from({ length: 10 }, (_, digit) => `_${digit}_${place}_`))];
}

/** What a token says; undefined for the sign and for other tokens. */
export function numeralOf(token: string): Numeral | undefined {
  const parts = /^_(\d)_(-?\d+)_$/.exec(token);
  return parts === null ? undefined : { digit: Number(parts[1]), place: Number(parts[2]) };
}

/**
 * A number in tokens, rounded to its last place, without zeros before its first digit but that of the ones. Throws
 * UserError for one that has more digits before the point, or is not finite.
 */
export function spellNumber(value: number, { whole, decimals }: Digits): string {
  const text = Math.abs(value) < 10 ** whole ? Math.abs(value).toFixed(decimals) : "";
  const [ones = "", rest = ""] = text.split(".");
  if (ones === "" || ones.length > whole)
    throw new UserError(
      `${value} does not fit into ${whole} digits before the point`,
      "give more, and the model as many: ingot merge --numeric-tokens W.D",
    );
  const digits = [...(ones + rest)].map((digit, i) => `_${digit}_${ones.length - 1 - i}_`).join("");
  return value < 0 && Number(text) !== 0 ? MINUS + digits : digits;
}

/** The number that a text of such tokens alone stands for: places go down by one. Undefined for any other text. */
export function readNumber(text: string): number | undefined {
  const trimmed = text.trim();
  const isNegative = trimmed.startsWith(MINUS);
  const body = isNegative ? trimmed.slice(MINUS.length) : trimmed;
  const found = [...body.matchAll(NUMERAL)].map(([, digit, place]) => ({ digit: digit!, place: Number(place) }));
  const [first] = found;
  if (first === undefined || body.replaceAll(NUMERAL, "") !== "") return undefined;
  if (found.some(({ place }, i) => place !== first.place - i)) return undefined;
  const value = Number(`${found.map(({ digit }) => digit).join("")}e${first.place - found.length + 1}`);
  return isNegative ? -value : value;
}

/** A prompt and what follows it. */
export interface AskedRow {
  readonly prompt: string;
  readonly completion: string;
}

/** The row that asks for the number of a text. */
export const numberRow = (text: string, tag: string, spelt: string): AskedRow => ({
  prompt: text + BETWEEN + tag,
  completion: spelt,
});

/** The row that asks for a text of that number. */
export const textRow = (text: string, tag: string, spelt: string): AskedRow => ({
  prompt: tag + spelt + BETWEEN,
  completion: text,
});

/** The row that asks for the number again, of a text that was written for it; undefined where the prompt has none. */
export function readBackRow(prompt: string, written: string): AskedRow | undefined {
  const parts = /^(.*?)((?:_-_)?(?:_\d_-?\d+_)+)\|$/s.exec(prompt);
  return parts === null ? undefined : numberRow(written, parts[1]!, parts[2]!);
}
