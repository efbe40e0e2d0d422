/**
 * Models: the tokens of a word. BPE and WordPiece come from @huggingface/tokenizers, WordLevel and Unigram are here:
 * the library has no byte fallback for Unigram and takes the unknown token of WordLevel from another file.
 */
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import { type Reading, type TokenModel, unknownPart } from "./definition.ts";
import { unigram } from "./unigram.ts";

/** The model of tokenizer.json. Throws UserError for one that is damaged or of an unknown kind. */
export function tokenModel(model: JsonObject, reading: Reading): TokenModel {
  const type = typeof model.type === "string" ? model.type : guessedType(model);
  if (type === "Unigram") return unigram(model, reading);
  if (!isObject(model.vocab))
    throw new UserError(`${reading.place}: model.vocab should be an object`, "the file is damaged");
  const vocabulary = new Map(Object.entries(model.vocab).map(([token, id]) => [token, Number(id)]));
  if (type === "WordLevel") return wordLevel(vocabulary, model, reading);
  const isBpe = type === "BPE";
  if (!isBpe && type !== "WordPiece") throw unknownPart("model", type, reading);
  if (isBpe && typeof model.continuing_subword_prefix === "string" && model.continuing_subword_prefix !== "")
    throw unknownPart("BPE prefix", model.continuing_subword_prefix, reading);
  if (isBpe && !Array.isArray(model.merges))
    throw new UserError(`${reading.place}: model.merges should be a list`, "the file is damaged");
  const pieces = new reading.library[isBpe ? "BPE" : "WordPiece"](model);
  const unknown = typeof model.unk_token === "string" ? vocabulary.get(model.unk_token) : undefined;
  return {
    vocabulary,
    encode: (word) =>
      pieces([word])
        .map((piece) => vocabulary.get(piece) ?? unknown)
        .filter((id) => id !== undefined),
  };
}

/** Older files do not say which model they have. */
function guessedType(model: JsonObject): string {
  if (Array.isArray(model.vocab)) return "Unigram";
  if ("merges" in model) return "BPE";
  return "max_input_chars_per_word" in model || "continuing_subword_prefix" in model ? "WordPiece" : "WordLevel";
}

function wordLevel(vocabulary: ReadonlyMap<string, number>, model: JsonObject, { place }: Reading): TokenModel {
  const unknown = typeof model.unk_token === "string" ? vocabulary.get(model.unk_token) : undefined;
  return {
    vocabulary,
    encode(word) {
      const id = vocabulary.get(word) ?? unknown;
      if (id === undefined)
        throw new UserError(`${place}: the word ${JSON.stringify(word)} is no token, and there is no unknown token`);
      return [id];
    },
  };
}
