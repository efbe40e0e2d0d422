/** What `--search-space` says: parameters of the method with their ranges, `weight:mlp=0:1,normalize=true|false`. */
import { UserError } from "../../errors.ts";
import { didYouMean } from "../../method/nearest.ts";
import type { Options } from "../../method/options.ts";
import type { MergeMethod } from "../contract.ts";

/** What a parameter may be, for tensors whose name holds `filter`. */
export interface SearchRange {
  readonly parameter: string;
  readonly filter?: string;
  readonly among:
    | { readonly kind: "real"; readonly low: number; readonly high: number; readonly log?: true }
    | { readonly kind: "integer"; readonly low: number; readonly high: number }
    | { readonly kind: "choice"; readonly choices: readonly (number | string | boolean)[] };
}

const HINT = "write name=low:high, name=low:high:log or name=one|two, and name:filter=... for some tensors";

const scalarOf = (text: string): number | string | boolean => {
  if (text === "true" || text === "false") return text === "true";
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
};

function amongOf(text: string, said: string, type: string): SearchRange["among"] {
  if (text.includes("|")) return { kind: "choice", choices: text.split("|").map((part) => scalarOf(part.trim())) };
  const [low, high, form, ...more] = text.split(":").map((part) => part.trim());
  const numbers = [low, high].map((part) => (part === undefined || part === "" ? Number.NaN : Number(part)));
  if (numbers.some((number) => !Number.isFinite(number)) || more.length > 0 || (form !== undefined && form !== "log"))
    throw new UserError(`--search-space ${said} has no range`, HINT);
  const [from, to] = numbers as [number, number];
  if (type.includes("number.integer")) {
    if (!Number.isInteger(from) || !Number.isInteger(to))
      throw new UserError(`--search-space ${said}: it is a whole number`, "give whole numbers as its ends");
    return { kind: "integer", low: from, high: to };
  }
  if (!type.includes("number"))
    throw new UserError(`--search-space ${said}: it is no number (${type})`, "list what it may be: name=one|two");
  return { kind: "real", low: from, high: to, ...(form === "log" && { log: true }) };
}

/** The option of a method that a range is of. Throws UserError where it has none such. */
function optionOf(options: Options, name: string, method: string): string {
  const known = Object.keys(options);
  const parameter = name.replaceAll("-", "_");
  if (!Object.hasOwn(options, parameter))
    throw new UserError(
      `--search-space: ${method} has no parameter ${name}`,
      didYouMean(parameter, known) ?? (known.length === 0 ? "it has none" : `it has ${known.join(", ")}`),
    );
  if (options[parameter]!.type.includes("[]"))
    throw new UserError(`--search-space: ${name} is a list, which cannot be searched`, "search another parameter");
  return parameter;
}

/** Reads the parts of `--search-space`. Throws UserError for what is no range of a parameter of the method. */
export function parseRanges(texts: readonly string[], { name: method, options }: MergeMethod): SearchRange[] {
  return texts.map((text) => {
    const [, name, filter, among] = /^([A-Za-z_][\w-]*)(?::([^=]+))?=(.+)$/s.exec(text.trim()) ?? [];
    if (name === undefined) throw new UserError(`--search-space ${text} is no range`, HINT);
    const parameter = optionOf(options, name, method);
    return {
      parameter,
      ...(filter !== undefined && { filter: filter.trim() }),
      among: amongOf(among!, text, options[parameter]!.type),
    };
  });
}

/**
 * What is searched where nothing is said: one weight per model, or the place of a method with two ends. Throws
 * UserError for a method with neither.
 */
export function usualRanges({ name, options }: MergeMethod): SearchRange[] {
  const parameter = ["weight", "t"].find((one) => Object.hasOwn(options, one));
  if (parameter === undefined) {
    const numbers = Object.entries(options).filter(([, { type }]) => type.includes("number") && !type.includes("[]"));
    throw new UserError(
      `${name} has no weights, so --search needs --search-space`,
      numbers.length === 0 ? "choose a method with numbers" : `for example --search-space ${numbers[0]![0]}=0:1`,
    );
  }
  return [{ parameter, among: { kind: "real", low: 0, high: 1 } }];
}
