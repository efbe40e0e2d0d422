/**
 * Reads values of a config.json with the file named in every refusal. No number gets through that is out of range, so
 * that nothing is allocated by a count that no model has, and no equation gives NaN by its constants.
 */
import { CANNOT_RUN, UserError } from "../errors.ts";
import type { Json } from "./architecture.ts";

/** Largest f32. */
const MOST_F32 = 3.4028234663852886e38;

/** Most of what a count may be; far above every published model. */
const MOST_LAYERS = 1000;
const MOST_EXPERTS = 10_000;
const MOST_WIDE = 2 ** 24;
const MOST_COUNT = 2 ** 31 - 1;

const BOUNDS: Readonly<Record<string, number>> = {
  num_hidden_layers: MOST_LAYERS,
  n_layer: MOST_LAYERS,
  num_local_experts: MOST_EXPERTS,
  num_experts: MOST_EXPERTS,
  num_experts_per_tok: MOST_EXPERTS,
  image_size: 2 ** 16,
  patch_size: 2 ** 16,
  num_channels: 2 ** 16,
  head_dim: 2 ** 16,
  max_position_embeddings: MOST_COUNT,
  sliding_window: MOST_COUNT,
};

/** What a number may be: at least `least`, or above it where `open`. */
export interface NumberRange {
  readonly least?: number;
  readonly open?: boolean;
  /** What it must stay under. */
  readonly below?: number;
}

const rangeText = ({ least, open, below }: NumberRange): string =>
  [
    "a number",
    ...(least === undefined ? [] : [`${open ? "above" : "of at least"} ${least}`]),
    ...(below === undefined ? [] : [`below ${below}`]),
  ].join(" ");

/** JSON has no word for numbers that are too large to hold. */
const shownValue = (value: unknown): string =>
  typeof value === "number" && !Number.isFinite(value) ? `beyond every number (${value})` : JSON.stringify(value);

/** A number in f32's range, checked. `where` and `key` name it in messages. Throws UserError. */
export function numberIn(value: unknown, where: string, key: string, range: NumberRange = {}): number {
  const { least = Number.NEGATIVE_INFINITY, open, below = Number.POSITIVE_INFINITY } = range;
  const isNumber = typeof value === "number" && Math.abs(value) <= MOST_F32;
  if (isNumber && (open ? value > least : value >= least) && value < below) return value;
  const shown = value === undefined ? "it is missing" : `it is ${shownValue(value)}`;
  throw new UserError(`${where}: ${key} must be ${rangeText(range)}; ${shown}`, "compare it with the model's page");
}

/** Most values of a head that attention keeps in registers. */
const MOST_HEAD = 512;

/** Throws UserError for heads that are wider than attention runs. */
export function expectHead(where: string, headDim: number): void {
  if (headDim <= MOST_HEAD) return;
  throw new UserError(`${where}: heads of ${headDim} values; ${MOST_HEAD} are the most`, CANNOT_RUN);
}

export class ConfigReader {
  readonly #json: Json;
  /** Names the file in messages. */
  readonly where: string;

  constructor(json: Json, where: string) {
    this.#json = json;
    this.where = where;
  }

  #refuse(key: string, expected: string): never {
    const found = this.#json[key];
    const shown = found === undefined ? "it is missing" : `it is ${shownValue(found)}`;
    throw new UserError(`${this.where}: ${key} must be ${expected}; ${shown}`, "compare it with the model's page");
  }

  get modelType(): unknown {
    return this.#json.model_type;
  }

  has(key: string): boolean {
    return this.#json[key] !== undefined && this.#json[key] !== null;
  }

  /** A positive whole number within the bound of its kind; `fallback` where the key is missing or null. */
  count(key: string, fallback?: number): number {
    return this.#whole(key, 1, fallback);
  }

  /** The same, or 0. */
  countOrNone(key: string, fallback?: number): number {
    return this.#whole(key, 0, fallback);
  }

  #whole(key: string, least: 0 | 1, fallback: number | undefined): number {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.#json[key];
    const most = BOUNDS[key] ?? MOST_WIDE;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least)
      this.#refuse(key, least === 0 ? "a whole number from 0 on" : "a positive whole number");
    if (value > most) this.#refuse(key, `at most ${most}`);
    return value;
  }

  number(key: string, fallback?: number, range?: NumberRange): number {
    if (!this.has(key) && fallback !== undefined) return fallback;
    return numberIn(this.#json[key], this.where, key, range);
  }

  flag(key: string, fallback: boolean): boolean {
    if (!this.has(key)) return fallback;
    const value = this.#json[key];
    if (typeof value !== "boolean") this.#refuse(key, "true or false");
    return value;
  }

  counts(key: string, fallback?: readonly number[]): readonly number[] {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.#json[key];
    if (!Array.isArray(value) || value.some((n) => !Number.isSafeInteger(n) || n < 0 || n > MOST_WIDE))
      this.#refuse(key, `a list of whole numbers up to ${MOST_WIDE}`);
    return value;
  }

  /** One of a few words. */
  oneOf<W extends string>(key: string, words: readonly W[], fallback?: W): W {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.#json[key];
    if (!words.includes(value as W)) this.#refuse(key, words.map((word) => `"${word}"`).join(" or "));
    return value as W;
  }

  /** A word; undefined where the value is missing or of another type. */
  text(key: string): string | undefined {
    const value = this.#json[key];
    return typeof value === "string" ? value : undefined;
  }

  /** Whether the config says null, rather than nothing. */
  isNull(key: string): boolean {
    return this.#json[key] === null;
  }

  /** A list of words, each one of `among` where these are given; undefined where the key is missing or null. */
  words<W extends string>(key: string, among?: readonly W[]): readonly W[] | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#json[key];
    const fits = (word: unknown): word is W => typeof word === "string" && (among?.includes(word as W) ?? true);
    if (!Array.isArray(value) || !value.every(fits))
      this.#refuse(key, `a list of ${among?.map((word) => `"${word}"`).join(" or ") ?? "words"}`);
    return value;
  }

  object(key: string): Json | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#json[key];
    if (typeof value !== "object" || Array.isArray(value)) this.#refuse(key, "an object");
    return value as Json;
  }

  /** A list of objects; `fallback` where the key is missing or null. */
  objects(key: string, fallback: readonly Json[]): readonly Json[] {
    if (!this.has(key)) return fallback;
    const value = this.#json[key];
    const isObject = (one: unknown): one is Json => typeof one === "object" && one !== null && !Array.isArray(one);
    if (!Array.isArray(value) || !value.every(isObject)) this.#refuse(key, "a list of objects");
    return value;
  }

  /** Refuses a value that would change the equations from those of the architecture's file. */
  only(key: string, expected: unknown, fallback: unknown = expected): void {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (value === expected) return;
    const message = `${this.where}: ${key} must be ${JSON.stringify(expected)} here; it is ${shownValue(value)}`;
    throw new UserError(message, CANNOT_RUN);
  }

  /** A count that is written under either of two names. Throws UserError when they disagree. */
  countOf(key: string, other: string, fallback?: number): number {
    const both = this.has(key) && this.has(other);
    if (both && this.count(key) !== this.count(other)) this.#refuse(key, `${this.count(other)}, as ${other} is`);
    return this.has(other) ? this.count(other) : this.count(key, fallback);
  }

  /**
   * Width of a head where the config does not say it. Throws UserError when the width is no multiple of the heads.
   */
  headWidth(width: number, heads: number, keys: { readonly width: string; readonly heads: string }): number {
    if (width % heads !== 0)
      throw new UserError(
        `${this.where}: ${keys.width} ${width} is no multiple of the ${heads} heads of ${keys.heads}`,
        "compare it with the model's page",
      );
    return width / heads;
  }
}
