/** The ids that a model's tokenizer gives the text of a token, as it would stand within a running text. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { byteCharacters } from "../../data/byte-characters.ts";
import { loadTokenizer } from "../../data/load-tokenizer.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { vocabularyOf } from "../../data/vocabulary.ts";
import { bytesOfKey, type KeyedToken, textOfKey } from "./token-keys.ts";

/** Stands before a text that does not begin a word, where a tokenizer marks every beginning as that of a word. */
const FENCE = "\n";

/**
 * Gives ids of the model for tokens of a donor; none where it cannot spell them, and none of its unknown token. Throws
 * UserError for a tokenizer that cannot be read.
 */
export async function pieceSpeller({
  files,
  ref,
}: Pick<Checkpoint, "files" | "ref">): Promise<(token: KeyedToken) => readonly number[]> {
  const tokenizer = await loadTokenizer(files, ref);
  const vocabulary = vocabularyOf({ files })!;
  const characters = byteCharacters();
  const pieces = new Map([...vocabulary].map(([token, id]) => [id, token]));
  const unknown = unknownOf(files, vocabulary);
  const byteId = (byte: number) =>
    vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`) ?? vocabulary.get(characters[byte]!);
  return ({ keys, token }) => {
    const bytes = keys.map(bytesOfKey).find((found) => found !== undefined);
    if (bytes) return bytes.map(byteId).filter((id) => id !== undefined);
    const text = keys.map(textOfKey).find((found) => found !== undefined) ?? token;
    return spelled(text, tokenizer, pieces).filter((id) => id !== unknown);
  };
}

/** The ids of a text that begins with a space where it begins a word. */
function spelled(text: string, tokenizer: Tokenizer, pieces: ReadonlyMap<number, string>): number[] {
  const ids = (of: string) => [...tokenizer.encode(of)];
  const marks = (id: number | undefined) => pieces.get(id ?? -1)?.startsWith("▁") === true;
  if (!marks(ids("a")[0])) return ids(text);
  if (text.startsWith(" ")) return ids(text.slice(1));
  const fence = ids(FENCE);
  const fenced = ids(FENCE + text);
  const behind = fenced.slice(fence.length);
  const apart = fence.every((id, i) => fenced[i] === id) && !marks(behind[0]);
  return apart ? behind : ids(text);
}

/** The id of the unknown token, where the model of the tokenizer has one. */
function unknownOf(
  files: ReadonlyMap<string, Uint8Array>,
  vocabulary: ReadonlyMap<string, number>,
): number | undefined {
  const { model } = JSON.parse(new TextDecoder().decode(files.get("tokenizer.json"))) as {
    readonly model: { readonly unk_token?: unknown; readonly unk_id?: unknown };
  };
  if (typeof model.unk_id === "number") return model.unk_id;
  return typeof model.unk_token === "string" ? vocabulary.get(model.unk_token) : undefined;
}
