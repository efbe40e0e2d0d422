/** What tokenizer.json is made of, and how its parts are read: objects that `type` names. */
import { UserError } from "../../errors.ts";
import { isObject, type Json, type JsonObject, show } from "../../json.ts";

/** What is used of @huggingface/tokenizers: two models, and regular expressions of other engines. */
export interface TokenizersLibrary {
  readonly SplitPreTokenizer: new (config: JsonObject) => { readonly pattern: RegExp | null };
  readonly BPE: new (config: JsonObject) => (words: readonly string[]) => string[];
  readonly WordPiece: new (config: JsonObject) => (words: readonly string[]) => string[];
}

/** What splits words into tokens. */
export interface TokenModel {
  readonly vocabulary: ReadonlyMap<string, number>;
  /** The ids of a word. */
  encode(word: string): number[];
}

/** Where the parts of one tokenizer are read. */
export interface Reading {
  readonly library: TokenizersLibrary;
  /** The file, as messages name it. */
  readonly place: string;
}

/** A part of tokenizer.json: undefined for null, an object with a known `type` else. Throws UserError. */
export function partOf(value: Json | undefined, name: string, { place }: Reading): Part | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value) || typeof value.type !== "string")
    throw new UserError(`${place}: ${name} should be an object with a type`, "the file is damaged");
  return { ...value, type: value.type };
}

export type Part = JsonObject & { readonly type: string };

/** The parts of a `Sequence`. */
export const partsOf = (values: Json | undefined, name: string, reading: Reading): Part[] =>
  (Array.isArray(values) ? values : [])
    .map((value) => partOf(value, name, reading))
    .filter((part) => part !== undefined);

/** What is thrown for a kind of part that would not give the ids that other tools give. */
export const unknownPart = (name: string, type: string, { place }: Reading): UserError =>
  new UserError(
    `${place}: the ${name} ${show(type)} is not supported`,
    "its tokens would differ from those that the model knows; give rows of input_ids, or another --tokenizer",
  );

/** A `pattern` ({String} or {Regex}) as a regular expression with the flags gu. Throws UserError. */
export function patternOf(pattern: Json | undefined, { library, place }: Reading): RegExp {
  if (isObject(pattern) && (typeof pattern.Regex === "string" || typeof pattern.String === "string")) {
    try {
      const found = new library.SplitPreTokenizer({ type: "Split", pattern, behavior: "Isolated" }).pattern;
      if (found !== null) return found;
    } catch (error) {
      throw new UserError(
        `${place}: the pattern ${JSON.stringify(pattern)} cannot be read: ${(error as Error).message}`,
      );
    }
  }
  throw new UserError(
    `${place}: expected a pattern {"String": ".."} or {"Regex": ".."}, found ${JSON.stringify(pattern)}`,
  );
}

/** A text among the keys of a part; `otherwise` where it is absent. */
export const textAt = (part: JsonObject, key: string, otherwise: string): string =>
  typeof part[key] === "string" ? part[key] : otherwise;

/** Whether Metaspace puts its mark before a text; older files say `add_prefix_space`. */
export const prependScheme = (part: JsonObject): string =>
  textAt(part, "prepend_scheme", part.add_prefix_space === false ? "never" : "always");
