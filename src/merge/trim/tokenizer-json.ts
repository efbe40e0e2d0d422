/** The parts of a tokenizer.json that name tokens or their ids. */
import { UserError } from "../../errors.ts";
import { decodeText, isObject, type Json, type JsonObject, parseJson } from "../../json.ts";

export type MergePair = string | readonly [string, string];

/** The kinds of models that @huggingface/tokenizers reads. */
export type ModelType = "BPE" | "Unigram" | "WordPiece" | "WordLevel";

export interface AddedEntry extends JsonObject {
  readonly id: number;
  readonly content: string;
}

export interface TokenizerJson {
  readonly file: JsonObject;
  readonly model: JsonObject;
  readonly type: ModelType;
  /** Token to id of the model, without added tokens. */
  readonly vocab: ReadonlyMap<string, number>;
  /** Unigram: the log-probability of each token. */
  readonly scores: ReadonlyMap<string, number>;
  readonly merges: readonly MergePair[];
  readonly added: readonly AddedEntry[];
}

/** Both halves of a merge. */
export function halvesOf(merge: MergePair): readonly [string, string] {
  if (typeof merge !== "string") return merge;
  const cut = merge.indexOf(" ", 1);
  return [merge.slice(0, cut), merge.slice(cut + 1)];
}

/** Older files do not say which model they have. */
function typeOf(model: JsonObject, place: string): ModelType {
  const { type } = model;
  if (type === "BPE" || type === "Unigram" || type === "WordPiece" || type === "WordLevel") return type;
  if (type !== undefined)
    throw new UserError(
      `${place}: the model ${JSON.stringify(type)} is not known`,
      "BPE, Unigram, WordPiece and WordLevel can be trimmed",
    );
  if (Array.isArray(model.vocab)) return "Unigram";
  if ("merges" in model) return "BPE";
  return "max_input_chars_per_word" in model || "continuing_subword_prefix" in model ? "WordPiece" : "WordLevel";
}

const isMerge = (value: Json): value is string | [string, string] =>
  typeof value === "string"
    ? value.indexOf(" ", 1) > 0
    : Array.isArray(value) && value.length === 2 && value.every((half) => typeof half === "string");

/** Throws UserError, naming `what`, for a file that is damaged or whose kind is not known. */
export function readTokenizerJson(bytes: Uint8Array, what: string): TokenizerJson {
  const place = `${what}: tokenizer.json`;
  const damaged = (part: string) => new UserError(`${place}: ${part}`, "the file is damaged; fetch it again");
  const file = parseJson(decodeText(bytes, place), place).value;
  if (!isObject(file) || !isObject(file.model)) throw damaged("expected an object with a model");
  const { model } = file;
  const type = typeOf(model, place);
  const vocab = new Map<string, number>();
  const scores = new Map<string, number>();
  if (type === "Unigram")
    for (const [id, entry] of (Array.isArray(model.vocab) ? model.vocab : []).entries()) {
      const [piece, score] = Array.isArray(entry) ? entry : [];
      if (typeof piece !== "string" || typeof score !== "number") throw damaged(`piece ${id} has no text or no score`);
      vocab.set(piece, id);
      scores.set(piece, score);
    }
  else if (isObject(model.vocab))
    for (const [token, id] of Object.entries(model.vocab)) {
      if (!Number.isSafeInteger(id) || (id as number) < 0)
        throw damaged(`the id of ${JSON.stringify(token)} is ${JSON.stringify(id)}`);
      vocab.set(token, id as number);
    }
  if (vocab.size === 0) throw damaged("model.vocab has no token");
  const merges = Array.isArray(model.merges) ? model.merges : [];
  const odd = merges.find((merge) => !isMerge(merge));
  if (odd !== undefined) throw damaged(`${JSON.stringify(odd)} is no merge of two tokens`);
  const added = (Array.isArray(file.added_tokens) ? file.added_tokens : []).filter(
    (entry): entry is Json & AddedEntry =>
      isObject(entry) && typeof entry.content === "string" && Number.isSafeInteger(entry.id),
  );
  return { file, model, type, vocab, scores, merges: merges.filter(isMerge), added };
}
