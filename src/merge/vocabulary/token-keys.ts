/**
 * What tokens of different vocabularies mean: a text, at the beginning of a word or not; a byte; or a role such as the
 * end of a text. Tokens of equal keys are the same token, however their vocabularies spell them.
 *
 * mergekit's normalising (https://github.com/arcee-ai/mergekit), but that texts spelled in bytes are read as the texts
 * that they are, additional special tokens stand each for itself, and WordPiece, which marks what does not begin a
 * word, is read too.
 */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { byteCharacters } from "../../data/byte-characters.ts";
import { namedSpecialTokens } from "../../data/special-tokens.ts";
import { vocabularyOf } from "../../data/vocabulary.ts";

const ROLES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** How a vocabulary spells: bytes as characters (Ġ), word marks (▁), continuing marks (##), or words as they are. */
type Spelling = "bytes" | "marks" | "continuing" | "words" | "plain";

interface FileShape {
  readonly added_tokens?: readonly ({ readonly content?: unknown } | null)[] | null;
  readonly model?: { readonly type?: string; readonly continuing_subword_prefix?: unknown; readonly merges?: unknown };
  readonly [part: string]: unknown;
}

export interface KeyedToken {
  readonly id: number;
  readonly token: string;
  /** `role:eos_token`, `word:the`, `text:ing`, `byte:0A`, `part:C3` (a byte that is no character alone), `parts:...` */
  readonly keys: readonly string[];
}

export interface KeyedVocabulary {
  /** By rising id. */
  readonly tokens: readonly KeyedToken[];
  /** The lowest id of each key. */
  readonly ids: ReadonlyMap<string, number>;
}

function spellingOf(file: FileShape): Spelling {
  const parts = JSON.stringify([file.pre_tokenizer, file.decoder, file.normalizer]);
  if (parts.includes('"ByteLevel"')) return "bytes";
  if (parts.includes('"Metaspace"') || parts.includes("▁")) return "marks";
  const type = file.model?.type ?? (file.model?.merges ? "BPE" : "WordPiece");
  if (type === "WordPiece") return "continuing";
  return type === "WordLevel" ? "words" : "plain";
}

const BYTES = new Map(byteCharacters().map((character, byte) => [character, byte]));
const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, "0");

/** A text, a leading space of which says that it begins a word. */
const keyOfText = (text: string): string => (text.startsWith(" ") ? `word:${text.slice(1)}` : `text:${text}`);

/** The bytes that a token spells; undefined where a character stands for none. */
function bytesOf(token: string): Uint8Array | undefined {
  const bytes = [...token].map((character) => BYTES.get(character));
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[]);
}

function keyOfBytes(token: string): string {
  const bytes = bytesOf(token);
  if (bytes === undefined) return `text:${token}`;
  try {
    return keyOfText(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return `${bytes.length === 1 ? "part" : "parts"}:${Array.from(bytes, hex).join("")}`;
  }
}

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

function keyOf(token: string, spelling: Spelling, prefix: string): string {
  if (spelling === "bytes") return keyOfBytes(token);
  const byte = BYTE_TOKEN.exec(token)?.[1];
  if (byte !== undefined) return `byte:${byte.toUpperCase()}`;
  if (spelling === "marks") return keyOfText(token.replaceAll("▁", " "));
  if (spelling === "plain") return `text:${token}`;
  if (spelling === "continuing" && token.startsWith(prefix)) return `text:${token.slice(prefix.length)}`;
  // Punctuation is cut off by itself, so it need not begin a word.
  return /^[\p{L}\p{N}]/u.test(token) ? `word:${token}` : `text:${token}`;
}

/** The vocabulary of a model by what its tokens mean; undefined where no tokenizer.json can be read. */
export function keyedVocabulary(checkpoint: Pick<Checkpoint, "files" | "ref">): KeyedVocabulary | undefined {
  const vocabulary = vocabularyOf(checkpoint);
  if (vocabulary === undefined) return undefined;
  const file = JSON.parse(new TextDecoder().decode(checkpoint.files.get("tokenizer.json"))) as FileShape;
  const spelling = spellingOf(file);
  const own = file.model?.continuing_subword_prefix;
  const prefix = typeof own === "string" && own !== "" ? own : "##";
  const added = new Set((file.added_tokens ?? []).flatMap((token) => (token ? [token.content] : [])));
  const named = namedSpecialTokens(checkpoint.files, checkpoint.ref);
  const roles = ROLES.map((role) => [role, named(role)] as const);
  const tokens = [...vocabulary]
    .map(([token, id]) => {
      const special = roles.filter(([, text]) => text === token).map(([role]) => `role:${role}`);
      const plain = added.has(token) ? `text:${token}` : keyOf(token, spelling, prefix);
      return { id, token, keys: special.length > 0 ? special : [plain] };
    })
    .sort((a, b) => a.id - b.id);
  const ids = new Map<string, number>();
  for (const { id, keys } of tokens) for (const key of keys) if (!ids.has(key)) ids.set(key, id);
  return { tokens, ids };
}

/** The key of the same byte where the other vocabulary spells it as a byte, and the other way round. */
export function byteKey(key: string): string | undefined {
  const [kind, rest] = partsOf(key);
  if (kind === "part") return `byte:${rest}`;
  if (kind === "byte") {
    const byte = Number.parseInt(rest, 16);
    return byte < 128 ? keyOfText(String.fromCharCode(byte)) : `part:${rest}`;
  }
  const text = textOfKey(key);
  return text !== undefined && text.length === 1 && text.charCodeAt(0) < 128
    ? `byte:${hex(text.charCodeAt(0))}`
    : undefined;
}

/** Keys of the beginnings of a token's text, the longest first; none of white space alone. */
export function* prefixKeys(key: string): Generator<string> {
  const [kind, rest] = partsOf(key);
  if (kind !== "word" && kind !== "text") return;
  const characters = [...rest];
  for (let n = characters.length - 1; n > 0; n--) {
    const prefix = characters.slice(0, n).join("");
    if (prefix.trim() === "") return;
    yield `${kind}:${prefix}`;
  }
}

function partsOf(key: string): [kind: string, rest: string] {
  const at = key.indexOf(":");
  return [key.slice(0, at), key.slice(at + 1)];
}

/** The text of a key; undefined for bytes and roles. */
export function textOfKey(key: string): string | undefined {
  const [kind, rest] = partsOf(key);
  if (kind === "word") return ` ${rest}`;
  return kind === "text" ? rest : undefined;
}

/** The bytes of a key that is of bytes. */
export function bytesOfKey(key: string): number[] | undefined {
  const [kind, rest] = partsOf(key);
  if (kind !== "byte" && kind !== "part" && kind !== "parts") return undefined;
  return rest.match(/../g)!.map((pair) => Number.parseInt(pair, 16));
}
