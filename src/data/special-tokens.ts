/**
 * Which tokens begin and end what a model reads and writes: one answer for training, evaluation and sampling.
 *
 * - Before and after a text stands what the tokenizer's post-processor says, changed by `add_bos_token` and
 *   `add_eos_token` of tokenizer_config.json. A prompt has what stands before, and not what stands after.
 * - An answer ends with any token that generation_config.json, config.json, tokenizer_config.json or
 *   special_tokens_map.json names as an end. Training ends texts and completions with the tokenizer's own.
 */
import { decodeText, isObject, type Json, type JsonObject, parseJson } from "../json.ts";
import type { Surroundings } from "./tokenization/post-processor.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Files of a model by name. */
type Files = ReadonlyMap<string, Uint8Array>;

/** An object among a model's files; empty where it is not there. Throws UserError, naming `what`, when damaged. */
export function jsonFile(files: Files, name: string, what: string): JsonObject {
  const bytes = files.get(name);
  if (bytes === undefined) return {};
  const { value } = parseJson(decodeText(bytes, `${what}: ${name}`), `${what}: ${name}`);
  return isObject(value) ? value : {};
}

/** The text of a special token as tokenizer_config.json has it: a string, or an object with `content`. */
export function specialToken(config: JsonObject, key: string): string | undefined {
  const value = config[key];
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
}

/** The texts of special tokens by role: those of tokenizer_config.json, else those of special_tokens_map.json. */
export function namedSpecialTokens(files: Files, what: string): (key: string) => string | undefined {
  const sources = ["tokenizer_config.json", "special_tokens_map.json"].map((name) => jsonFile(files, name, what));
  return (key) => sources.map((source) => specialToken(source, key)).find((text) => text !== undefined);
}

/** The ids that end an answer, smallest first, each once. */
export function endTokens(files: Files, what: string, idOf: (token: string) => number | undefined): number[] {
  const config = jsonFile(files, "config.json", what);
  const inner = isObject(config.text_config) ? config.text_config : {};
  const ids = [jsonFile(files, "generation_config.json", what), config, inner].flatMap(({ eos_token_id }) =>
    idsOf(eos_token_id),
  );
  const names = ["tokenizer_config.json", "special_tokens_map.json"]
    .map((name) => specialToken(jsonFile(files, name, what), "eos_token"))
    .map((text) => (text === undefined ? undefined : idOf(text)));
  return [...new Set([...ids, ...names.filter((id) => id !== undefined)])].sort((a, b) => a - b);
}

const idsOf = (value: Json | undefined): number[] =>
  (Array.isArray(value) ? value : [value])
    .filter((id) => typeof id === "number")
    .filter((id) => Number.isInteger(id) && id >= 0);

/** What stands around a text after `add_bos_token` and `add_eos_token` have had their say. */
export function surroundings(
  { before, after }: Surroundings,
  config: JsonObject,
  { bos, eos }: { readonly bos: number | undefined; readonly eos: number | undefined },
): Surroundings {
  const begin = bos === undefined ? [] : [bos];
  const end = eos === undefined ? [] : [eos];
  return {
    before:
      typeof config.add_bos_token !== "boolean"
        ? before
        : [...(config.add_bos_token ? begin : []), ...before.filter((id) => id !== bos)],
    after:
      typeof config.add_eos_token !== "boolean"
        ? after
        : [...after.filter((id) => id !== eos), ...(config.add_eos_token ? end : [])],
  };
}

/** The tokens of a text that is to be continued: as training saw its beginning, without an end. */
export const encodePrompt = (tokenizer: Tokenizer, text: string): Int32Array =>
  tokenizer.encode(text, { special: "before" });

/** Whether a token is special: no part of the text of an answer. */
export const isSpecial = (tokenizer: Tokenizer, id: number): boolean =>
  tokenizer.decode([id], { skipSpecial: true }) === "" && tokenizer.decode([id]) !== "";
