/** Checks values of merge parameters against the type their method declares. */

import { UserError } from "../../errors.ts";
import type { OptionSpec } from "../../method/options.ts";

/** The value, converted where YAML wrote it otherwise (`"0.5"`, `yes`), or undefined when it does not fit. */
type Check = (value: unknown) => { value: unknown } | undefined;

const fits = (value: unknown) => ({ value });

/** YAML 1.1, which mergekit's recipes are written in, knows more spellings than 1.2, which reads them here. */
const BOOLEANS: Record<string, boolean> = { true: true, yes: true, on: true, false: false, no: false, off: false };

function toBoolean(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  if (value === 0 || value === 1) return value === 1;
  return typeof value === "string" ? BOOLEANS[value.toLowerCase()] : undefined;
}

function toNumber(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

const NUMBER = String.raw`([-+]?[\d.]+(?:e[-+]?\d+)?)`;
const RANGE = new RegExp(`^(?:${NUMBER} *(<=?) *)?(number|number\\.integer)(?: *(<=?|>=?) *${NUMBER})?$`);

/** The range types of arktype's syntax, without arktype: its import takes longer than planning a merge. */
function simple(type: string): Check | undefined {
  if (type === "boolean") {
    return (value) => {
      const boolean = toBoolean(value);
      return boolean === undefined ? undefined : { value: boolean };
    };
  }
  if (type === "string") return (value) => (typeof value === "string" ? fits(value) : undefined);
  const literal = /^'([^']*)'$|^"([^"]*)"$/.exec(type);
  if (literal !== null) return (value) => (value === (literal[1] ?? literal[2]) ? fits(value) : undefined);
  const range = RANGE.exec(type);
  if (range === null) return undefined;
  const [, low, lowSign, kind, sign, bound] = range;
  return (value) => {
    const number = toNumber(value);
    if (number === undefined || (kind === "number.integer" && !Number.isInteger(number))) return undefined;
    if (low !== undefined && !(lowSign === "<" ? Number(low) < number : Number(low) <= number)) return undefined;
    return bound === undefined || compare(number, sign!, Number(bound)) ? fits(number) : undefined;
  };
}

function compare(a: number, sign: string, b: number): boolean {
  if (sign === "<") return a < b;
  if (sign === "<=") return a <= b;
  return sign === ">" ? a > b : a >= b;
}

async function compile(type: string): Promise<Check> {
  const parts = type.split("|").map((part) => simple(part.trim()));
  if (parts.every((part) => part !== undefined)) {
    return (value) => {
      for (const part of parts) {
        const found = part(value);
        if (found !== undefined) return found;
      }
      return undefined;
    };
  }
  const { type: ark } = await import("../../method/ark.ts");
  const schema = ark.raw(type);
  return (value) => {
    const out: unknown = schema(value);
    return out instanceof ark.errors ? undefined : { value: out };
  };
}

/**
 * A function that returns the converted value, or throws a UserError that says what was expected, found, and `where`.
 */
export type Validate = (value: unknown, where: string) => unknown;

/** `name` is the parameter's name, for messages. Types beyond simple ranges load arktype. */
export async function validator(name: string, spec: OptionSpec): Promise<Validate> {
  const check = await compile(spec.type);
  return (value, where) => {
    const found = check(value);
    if (found !== undefined) return found.value;
    const place = where === "" ? "" : ` for ${where}`;
    throw new UserError(`${name} is ${spell(value)}${place}, expected ${spec.type}`, spec.help);
  };
}

const spell = (value: unknown): string =>
  typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
