/**
 * The tokenizer of a checkpoint: the embedded byte-level one, or any tokenizer.json.
 *
 * A text is cut at added tokens, normalized, split into words, and each word into tokens (`tokenization/`, after the
 * library `tokenizers`). Merges of BPE come from @huggingface/tokenizers, which is loaded only when such a file is met.
 */

import { UserError } from "../errors.ts";
import { decodeText, isObject, type JsonObject, parseJson } from "../json.ts";
import { library } from "../library.ts";
import { byteTokenizer } from "./byte-tokenizer.ts";
import { endTokens, jsonFile, namedSpecialTokens, surroundings } from "./special-tokens.ts";
import { type AddedToken, addedTokens, tokenCutter } from "./tokenization/added-tokens.ts";
import { decoderOf } from "./tokenization/decoders.ts";
import type { Reading, TokenizersLibrary, TokenModel } from "./tokenization/definition.ts";
import { tokenModel } from "./tokenization/models.ts";
import { normalizerOf } from "./tokenization/normalizers.ts";
import { surroundingsOf } from "./tokenization/post-processor.ts";
import { preTokenizer } from "./tokenization/pre-tokenizers.ts";
import { arranged, type SentenceTemplate, sentenceTemplate } from "./tokenization/sentence-template.ts";
import { cleanedStream, cleanUp, windowDecoder } from "./tokenization/streams.ts";
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

/** The files that make up a tokenizer and its template. */
export const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "generation_config.json",
];

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
      "transformers saves tokenizer.json with a fast tokenizer; --tokenizer byte is for models that learn bytes",
    );
  }
  const embedded = byteTokenizer();
  if (Buffer.compare(bytes, embedded.files.get("tokenizer.json")!) === 0) {
    return { ...embedded, files: new Map([...embedded.files, ...tokenizerFilesOf(files)]) };
  }
  const place = `${what}: tokenizer.json`;
  const definition = parseJson(decodeText(bytes, place), place).value;
  if (!isObject(definition) || !isObject(definition.model))
    throw new UserError(`${place} should be an object with a model`, "the file is damaged");
  const loaded = await library<TokenizersLibrary>("@huggingface/tokenizers", `${what}: its tokenizer`);
  return assembled(definition, files, { library: loaded, place }, what);
}

const tokenizerFilesOf = (files: ReadonlyMap<string, Uint8Array>) =>
  new Map([...files].filter(([name]) => TOKENIZER_FILES.includes(name) && name !== "generation_config.json"));

function assembled(
  definition: JsonObject,
  files: ReadonlyMap<string, Uint8Array>,
  reading: Reading,
  what: string,
): Tokenizer {
  const config = jsonFile(files, "tokenizer_config.json", what);
  const model = tokenModel(definition.model as JsonObject, reading);
  const added = addedTokens(definition, config, (token) => model.vocabulary.get(token));
  const byContent = new Map(added.map((token) => [token.content, token]));
  const idOf = (token: string) => byContent.get(token)?.id ?? model.vocabulary.get(token);
  const named = namedSpecialTokens(files, what);
  const role = (key: string) => {
    const name = named(key);
    return name === undefined ? undefined : idOf(name);
  };
  const [pad, bos, eos] = [role("pad_token"), role("bos_token"), role("eos_token")];
  const { before, after } = surroundings(surroundingsOf(definition.post_processor, reading), config, { bos, eos });
  const words = encoder(definition, model, added, reading);
  const decoding = decoders(definition, model, added, reading, config.clean_up_tokenization_spaces === true);
  let template: SentenceTemplate | undefined;
  let vocabSize = 0;
  for (const id of [...model.vocabulary.values(), ...added.map(({ id }) => id)])
    vocabSize = Math.max(vocabSize, id + 1);
  return {
    name: what,
    vocabSize,
    ...(pad === undefined ? {} : { pad }),
    ...(bos === undefined ? {} : { bos }),
    ...(eos === undefined ? {} : { eos }),
    ends: endTokens(files, what, idOf).filter((id) => id < vocabSize),
    files: tokenizerFilesOf(files),
    encode: (text, options) =>
      Int32Array.from([
        ...(options?.special ? before : []),
        ...words(text),
        ...(options?.special === true ? after : []),
      ]),
    arrange(first, second) {
      template ??= sentenceTemplate(definition.post_processor, reading);
      return arranged(template, first, second);
    },
    ...decoding,
    idOf,
  };
}

/** Text to ids, without what stands around it. */
function encoder(
  definition: JsonObject,
  model: TokenModel,
  added: readonly AddedToken[],
  reading: Reading,
): (text: string) => number[] {
  const normalize = normalizerOf(definition.normalizer, reading);
  const split = preTokenizer(definition.pre_tokenizer, reading);
  const cut = tokenCutter(added.filter(({ normalized }) => !normalized));
  const cutNormalized = tokenCutter(
    added.filter(({ normalized }) => normalized),
    normalize,
  );
  return (text) =>
    cut(text).flatMap((section) => {
      if ("token" in section) return [section.token.id];
      return cutNormalized(normalize?.(section.text) ?? section.text).flatMap((part) => {
        if ("token" in part) return [part.token.id];
        const first = section.from === 0 && part.from === 0;
        return split({ text: part.text, first }).flatMap((piece) => model.encode(piece.text));
      });
    });
}

/** Ids to text. Ids of no token, such as padded rows of a model's vocabulary, give nothing. */
function decoders(
  definition: JsonObject,
  model: TokenModel,
  added: readonly AddedToken[],
  reading: Reading,
  cleans: boolean,
): Pick<Tokenizer, "decode" | "decoder"> {
  const decode = decoderOf(definition.decoder, reading);
  const byId = new Map(Array.from(model.vocabulary, ([token, id]) => [id, token]));
  for (const { id, content } of added) byId.set(id, content);
  const special = new Set(added.filter((token) => token.special).map(({ id }) => id));
  const pieceOf = (id: number, options: DecodeOptions | undefined) =>
    options?.skipSpecial && special.has(id) ? undefined : byId.get(id);
  const textOf = (pieces: readonly (string | undefined)[]) =>
    decode(pieces.filter((piece) => piece !== undefined)).join("");
  return {
    decode(ids, options) {
      const text = textOf(Array.from(ids, (id) => pieceOf(id, options)));
      return cleans ? cleanUp(text) : text;
    },
    decoder(options) {
      const stream = windowDecoder((ids) => textOf(ids.map((id) => byId.get(id))));
      // What gives no text must not push out of the window what the next token's text depends on.
      const seen = { ...stream, push: (id: number) => (pieceOf(id, options) === undefined ? "" : stream.push(id)) };
      return cleans ? cleanedStream(seen) : seen;
    },
  };
}
