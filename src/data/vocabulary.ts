/** What a checkpoint's tokenizer files say about its vocabulary. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";

/** Token to id, added tokens included. */
export type Vocabulary = ReadonlyMap<string, number>;

/**
 * The vocabulary; undefined without a tokenizer.json that can be read. Parses the file: some 50 ms for 100,000 tokens.
 */
export function vocabularyOf(checkpoint: Pick<Checkpoint, "files">): Vocabulary | undefined {
  const bytes = checkpoint.files.get("tokenizer.json");
  return bytes && readVocabulary(bytes);
}

/** Number of tokens: the highest id plus one, since ids may have gaps. */
export function countTokens(vocabulary: Vocabulary): number {
  let most = -1;
  for (const id of vocabulary.values()) if (id > most) most = id;
  return most + 1;
}

function readVocabulary(bytes: Uint8Array): Vocabulary | undefined {
  let file: { model?: { vocab?: unknown }; added_tokens?: unknown } | null;
  try {
    file = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined; // weights can be merged with a damaged tokenizer; the check reports it
  }
  const vocab = file?.model?.vocab;
  if (typeof vocab !== "object" || vocab === null) return undefined;
  const tokens = new Map<string, number>();
  // A list of [token, score] (Unigram), or a map from token to id (BPE, WordPiece, WordLevel).
  if (Array.isArray(vocab))
    for (const [id, entry] of vocab.entries()) tokens.set(String(Array.isArray(entry) ? entry[0] : entry), id);
  else for (const [token, id] of Object.entries(vocab)) if (Number.isSafeInteger(id)) tokens.set(token, id as number);
  const added: unknown[] = Array.isArray(file?.added_tokens) ? file.added_tokens : [];
  for (const entry of added as ({ content?: unknown; id?: unknown } | null)[]) {
    if (typeof entry?.content === "string" && Number.isSafeInteger(entry.id))
      tokens.set(entry.content, entry.id as number);
  }
  return tokens;
}
