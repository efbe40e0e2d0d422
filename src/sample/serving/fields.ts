/** Reads the fields of a request, each checked, and refuses those that nothing has read. */
import { isObject, type Json, type JsonObject } from "../../json.ts";
import { ApiError, wrongField } from "./errors.ts";

interface Range {
  readonly least: number;
  readonly most: number;
  /** Whole numbers alone. */
  readonly whole?: boolean;
}

/** A null is a field that was left out, as clients send it. */
export class Fields {
  readonly #given: ReadonlyMap<string, Json>;
  readonly #known = new Set<string>();

  /** Throws ApiError for what is no object. */
  constructor(body: Json) {
    if (!isObject(body)) throw new ApiError(400, "the body is no JSON object");
    this.#given = new Map(Object.entries(body).filter(([, value]) => value !== null));
  }

  get(name: string): Json | undefined {
    this.#known.add(name);
    return this.#given.get(name);
  }

  number(name: string, { least, most, whole = false }: Range): number | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const isGood = typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value));
    if (isGood) return value;
    const kind = whole ? "a whole number" : "a number";
    throw wrongField(name, `${name} should be ${kind} from ${least} to ${most}, and is ${shown(value)}`);
  }

  flag(name: string): boolean | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw wrongField(name, `${name} should be true or false, and is ${shown(value)}`);
  }

  text(name: string): string | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "string") return value;
    throw wrongField(name, `${name} should be a string, and is ${shown(value)}`);
  }

  object(name: string): JsonObject | undefined {
    const value = this.get(name);
    if (value === undefined || isObject(value)) return value;
    throw wrongField(name, `${name} should be an object, and is ${shown(value)}`);
  }

  /** Fields that change nothing here. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  /** Fields that would change the answer and have one value that does not: `logit_bias` of no tokens. */
  refuse(idle: Readonly<Record<string, readonly Json[]>>): void {
    for (const [name, values] of Object.entries(idle)) {
      const value = this.get(name);
      if (value === undefined || values.some((each) => Bun.deepEquals(each, value))) continue;
      throw new ApiError(400, `${name} is not supported here`, { param: name, code: "unsupported_parameter" });
    }
  }

  /** Throws ApiError for a field that nothing has asked for. */
  end(): void {
    const odd = [...this.#given.keys()].find((name) => !this.#known.has(name));
    if (odd === undefined) return;
    const param = odd.slice(0, 60);
    throw new ApiError(400, `unknown field ${shown(param)}`, { param, code: "unknown_parameter" });
  }
}

/** A value as it may stand in a message. */
export function shown(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
