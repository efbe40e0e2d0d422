/** Reads values of a config.json with the file named in every refusal. */
import { UserError } from "../errors.ts";
import type { Json } from "./architecture.ts";

export class ConfigReader {
  readonly #json: Json;
  readonly #where: string;

  constructor(json: Json, where: string) {
    this.#json = json;
    this.#where = where;
  }

  #refuse(key: string, expected: string): never {
    const found = this.#json[key];
    const shown = found === undefined ? "it is missing" : `it is ${JSON.stringify(found)}`;
    throw new UserError(`${this.#where}: ${key} must be ${expected}; ${shown}`, "compare it with the model's page");
  }

  has(key: string): boolean {
    return this.#json[key] !== undefined && this.#json[key] !== null;
  }

  /** A positive whole number; `fallback` where the key is missing or null. */
  count(key: string, fallback?: number): number {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.#json[key];
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
      this.#refuse(key, "a positive whole number");
    return value;
  }

  number(key: string, fallback?: number): number {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.#json[key];
    if (typeof value !== "number" || !Number.isFinite(value)) this.#refuse(key, "a number");
    return value;
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
    if (!Array.isArray(value) || value.some((n) => !Number.isSafeInteger(n) || n < 0))
      this.#refuse(key, "a list of whole numbers");
    return value;
  }

  /** One of a few words. */
  oneOf<W extends string>(key: string, words: readonly W[], fallback?: W): W {
    if (!this.has(key) && fallback !== undefined) return fallback;
    const value = this.#json[key];
    if (!words.includes(value as W)) this.#refuse(key, words.map((word) => `"${word}"`).join(" or "));
    return value as W;
  }

  object(key: string): Json | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#json[key];
    if (typeof value !== "object" || Array.isArray(value)) this.#refuse(key, "an object");
    return value as Json;
  }

  /** Refuses a value that would change the equations in a way that is not implemented. */
  only(key: string, expected: unknown, fallback: unknown = expected): void {
    const value = this.has(key) ? this.#json[key] : fallback;
    if (value !== expected) this.#refuse(key, `${JSON.stringify(expected)} (nothing else is implemented)`);
  }
}
