/**
 * The tokenizer of a checkpoint: the embedded byte-level one, or any tokenizer.json through @huggingface/tokenizers,
 * which is loaded only when such a file is met.
 */

import { UserError } from "../errors.ts";
import { decodeText, isObject, type Json, parseJson } from "../json.ts";
import { library } from "../library.ts";
import { byteTokenizer } from "./byte-tokenizer.ts";
import type { DecodeOptions, StreamDecoder, Tokenizer } from "./tokenizer.ts";

const TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

/**
 * The tokenizer of a checkpoint's files (`checkpoint.files`). Throws UserError, naming `what`, when it is missing or
 * cannot be read.
 */
export async function loadTokenizer(files: ReadonlyMap<string, Uint8Array>, what: string): Promise<Tokenizer> {
  const bytes = files.get("tokenizer.json");
  if (bytes === undefined) {
    const found = files.has("tokenizer.model") ? "only tokenizer.model" : "no tokenizer.json";
    throw new UserError(
      `${what} has ${found}`,
      "save it with a fast tokenizer, or give --tokenizer byte for the embedded one",
    );
  }
  const embedded = byteTokenizer();
  if (Buffer.compare(bytes, embedded.files.get("tokenizer.json")!) === 0) {
    return { ...embedded, files: new Map([...embedded.files, ...tokenizerFilesOf(files)]) };
  }
  const definition = parseJson(decodeText(bytes, `${what}: tokenizer.json`), `${what}: tokenizer.json`).value;
  const configBytes = files.get("tokenizer_config.json");
  const config =
    configBytes === undefined
      ? {}
      : parseJson(decodeText(configBytes, `${what}: tokenizer_config.json`), `${what}: tokenizer_config.json`).value;
  if (!isObject(definition) || !isObject(config)) {
    throw new UserError(`${what}: tokenizer.json and tokenizer_config.json should be objects`, "the files are damaged");
  }
  const { Tokenizer: Library } = await library<TokenizersLibrary>("@huggingface/tokenizers", `${what}: its tokenizer`);
  let inner: LibraryTokenizer;
  try {
    inner = new Library(definition, config);
  } catch (error) {
    throw new UserError(`${what}: tokenizer.json could not be loaded: ${(error as Error).message}`);
  }
  return wrap(inner, config, what, tokenizerFilesOf(files));
}

const tokenizerFilesOf = (files: ReadonlyMap<string, Uint8Array>) =>
  new Map([...files].filter(([name]) => TOKENIZER_FILES.includes(name)));

/** What is used of @huggingface/tokenizers. */
interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces?: boolean }): string;
  token_to_id(token: string): number | undefined;
  get_vocab(withAddedTokens: boolean): Map<string, number>;
}
interface TokenizersLibrary {
  Tokenizer: new (definition: object, config: object) => LibraryTokenizer;
}

function wrap(
  inner: LibraryTokenizer,
  config: { [key: string]: Json },
  what: string,
  files: ReadonlyMap<string, Uint8Array>,
): Tokenizer {
  let vocabSize = 0;
  for (const id of inner.get_vocab(true).values()) vocabSize = Math.max(vocabSize, id + 1);
  const special = (key: string): number | undefined => {
    const name = specialToken(config, key);
    return name === undefined ? undefined : inner.token_to_id(name);
  };
  const [pad, bos, eos] = [special("pad_token"), special("bos_token"), special("eos_token")];
  const decode = (ids: Iterable<number>, options?: DecodeOptions): string => {
    const list = Array.from(ids);
    // The library fails on an empty list in some decoders.
    return list.length === 0 ? "" : inner.decode(list, { skip_special_tokens: options?.skipSpecial ?? false });
  };
  return {
    name: what,
    vocabSize,
    ...(pad === undefined ? {} : { pad }),
    ...(bos === undefined ? {} : { bos }),
    ...(eos === undefined ? {} : { eos }),
    files,
    encode: (text, options) =>
      text === "" && !options?.special
        ? new Int32Array()
        : Int32Array.from(inner.encode(text, { add_special_tokens: options?.special ?? false }).ids),
    decode,
    decoder: (options) => windowDecoder((ids) => decode(ids, options)),
    idOf: (token) => inner.token_to_id(token),
  };
}

/** The text of a special token as tokenizer_config.json has it: a string, or an object with `content`. */
export function specialToken(config: { [key: string]: Json }, key: string): string | undefined {
  const value = config[key];
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
}

/**
 * Decodes a stream with a decoder of whole lists. The text of a token depends on those before it (spaces, split
 * characters), so a few tokens that were given already stay in the window, and only what they did not say is given.
 */
export function windowDecoder(decode: (ids: number[]) => string): StreamDecoder {
  let window: number[] = [];
  let given = 0; // tokens at the start of the window whose text was given
  return {
    push(id) {
      window.push(id);
      const whole = decode(window);
      // An unfinished character ends in U+FFFD; it has at most four bytes, so one that lasts longer is meant.
      if (whole.endsWith("\ufffd") && window.length - given < 5) return "";
      const text = whole.slice(decode(window.slice(0, given)).length);
      window = window.slice(given);
      given = window.length;
      return text;
    },
    end() {
      const text = decode(window).slice(decode(window.slice(0, given)).length);
      window = [];
      given = 0;
      return text;
    },
  };
}
