/** The tokenizer files of a vocabulary with fewer tokens: everything that names an id names the new one. */
import { decodeText, isObject, type Json, type JsonObject, parseJson } from "../../json.ts";
import { allTokens } from "./kept-tokens.ts";
import { halvesOf, type TokenizerJson } from "./tokenizer-json.ts";

/** New id by token; tokens that are left out have none. */
export type NewIds = ReadonlyMap<string, number>;

/** The tokens of a vocabulary at new ids. A plain object, whatever the tokens are called. */
const vocabObject = (tokens: Iterable<readonly [string, number]>): JsonObject => {
  const vocab: Record<string, Json> = {};
  for (const [token, id] of tokens) Object.defineProperty(vocab, token, { value: id, enumerable: true });
  return vocab;
};

/**
 * A post-processor with its ids changed: those of a template, and the pairs of BertProcessing and RobertaProcessing.
 */
function withIds(part: Json | undefined, ids: NewIds): Json {
  if (Array.isArray(part)) {
    const [token, id] = part;
    if (part.length === 2 && typeof token === "string" && typeof id === "number") return [token, ids.get(token) ?? id];
    return part.map((one) => withIds(one, ids));
  }
  if (!isObject(part)) return part ?? null;
  return Object.fromEntries(
    Object.entries(part).map(([key, value]) => {
      if (key === "special_tokens" && isObject(value)) return [key, templateIds(value, ids)];
      return [key, withIds(value, ids)];
    }),
  );
}

const templateIds = (table: JsonObject, ids: NewIds): JsonObject =>
  Object.fromEntries(
    Object.entries(table).map(([name, entry]) => {
      if (!isObject(entry) || !Array.isArray(entry.tokens)) return [name, entry];
      return [name, { ...entry, ids: entry.tokens.map((token) => ids.get(String(token)) ?? 0) }];
    }),
  );

/** The model part of the file. */
function trimmedModel({ model, type, vocab, scores, merges }: TokenizerJson, ids: NewIds, added: NewIds): JsonObject {
  const kept = [...vocab.keys()].filter((token) => ids.has(token)).sort((a, b) => ids.get(a)! - ids.get(b)!);
  if (type === "Unigram") {
    const unknown = [...vocab].find(([, id]) => id === model.unk_id)?.[0];
    return {
      ...model,
      vocab: kept.map((token) => [token, scores.get(token)!]),
      ...(unknown !== undefined && { unk_id: ids.get(unknown)! }),
    };
  }
  const inside = new Set(kept);
  const left = merges.filter((merge) => {
    const [a, b] = halvesOf(merge);
    return inside.has(a) && inside.has(b) && inside.has(a + b);
  });
  // Readers count the model's tokens to number added ones that do not stand among them.
  const all = [
    ...kept.map((token) => [token, ids.get(token)!] as const),
    ...[...added].filter(([t]) => !inside.has(t)),
  ];
  return {
    ...model,
    vocab: vocabObject(all.sort((a, b) => a[1] - b[1])),
    ...(type === "BPE" && { merges: left.map((merge) => (typeof merge === "string" ? merge : [...merge])) }),
  };
}

/** tokenizer.json with the tokens of `ids` alone. */
export function trimmedTokenizer(tokenizer: TokenizerJson, ids: NewIds): Uint8Array {
  const { file, added } = tokenizer;
  const beside = new Map(added.map(({ content }) => [content, ids.get(content)!]));
  const padding = isObject(file.padding) ? { ...file.padding, ...paddingId(file.padding, ids) } : file.padding;
  const trimmed: JsonObject = {
    ...file,
    added_tokens: added.map((entry) => ({ ...entry, id: ids.get(entry.content)! })).sort((a, b) => a.id - b.id),
    ...(file.post_processor !== undefined && { post_processor: withIds(file.post_processor, ids) }),
    ...(padding !== undefined && { padding }),
    model: trimmedModel(tokenizer, ids, beside),
  };
  return new TextEncoder().encode(JSON.stringify(trimmed));
}

const paddingId = ({ pad_token }: JsonObject, ids: NewIds): JsonObject => {
  const id = typeof pad_token === "string" ? ids.get(pad_token) : undefined;
  return id === undefined ? {} : { pad_id: id };
};

/** tokenizer_config.json, where it lists added tokens by their ids. Throws UserError for damaged JSON. */
export function trimmedConfig(bytes: Uint8Array, what: string, newId: (old: number) => number | undefined): Uint8Array {
  const place = `${what}: tokenizer_config.json`;
  const config = parseJson(decodeText(bytes, place), place).value;
  if (!isObject(config) || !isObject(config.added_tokens_decoder)) return bytes;
  const entries = Object.entries(config.added_tokens_decoder).flatMap(([id, entry]) => {
    const there = newId(Number(id));
    return there === undefined ? [] : [[String(there), entry] as const];
  });
  const changed = { ...config, added_tokens_decoder: Object.fromEntries(entries) };
  return new TextEncoder().encode(JSON.stringify(changed, null, 2));
}

/** New ids of tokens that are kept, in the order of their old ones. */
export function newIds(
  tokenizer: TokenizerJson,
  kept: readonly (readonly [string, number])[],
): {
  readonly ids: NewIds;
  /** Old id of each new one. */
  readonly old: readonly number[];
} {
  const all = allTokens(tokenizer);
  // Several tokens may share an id; they share the new one too.
  const old = [...new Set(kept.map(([, id]) => id))];
  const places = new Map(old.map((id, place) => [id, place]));
  return { ids: new Map(kept.map(([token]) => [token, places.get(all.get(token)!)!])), old };
}
