/**
 * Which tokens of a vocabulary stay: those that are used, and those without which the tokenizer would cut the same
 * texts otherwise, or could not cut others at all.
 */
import { byteCharacters } from "../../data/byte-characters.ts";
import { MergePaths } from "./merge-paths.ts";
import type { TokenizerJson } from "./tokenizer-json.ts";

/** Why tokens stay, and how many for each reason that no earlier one covers. */
export interface Kept {
  /** By rising id. */
  readonly tokens: readonly (readonly [token: string, id: number])[];
  readonly counts: Readonly<Record<"used" | "special" | "bytes" | "merges" | "characters", number>>;
}

export interface Wanted {
  /** Ids of tokens that texts need. */
  readonly used: ReadonlySet<number>;
  /** Ids that texts have but that are used too seldom: what they are made of stays. */
  readonly rare: ReadonlySet<number>;
  /** Texts and ids of tokens that stay whatever the texts are. */
  readonly special: ReadonlySet<string | number>;
}

/** The tokens of a tokenizer, added ones included. */
export const allTokens = ({ vocab, added }: TokenizerJson): Map<string, number> =>
  new Map([...vocab, ...added.map(({ content, id }) => [content, id] as const)]);

const isByteLevel = ({ file }: TokenizerJson): boolean =>
  JSON.stringify([file.pre_tokenizer, file.decoder]).includes('"ByteLevel"');

/** The token for what is unknown, and of a Unigram the least likely one: unknown characters are as likely less 10. */
function standing({ model, vocab, scores, type }: TokenizerJson): string[] {
  const unknown =
    typeof model.unk_token === "string"
      ? [model.unk_token]
      : [...vocab].flatMap(([token, id]) => (type === "Unigram" && id === model.unk_id ? [token] : []));
  let least: string | undefined;
  for (const [token, score] of scores) if (least === undefined || score < scores.get(least)!) least = token;
  return least === undefined ? unknown : [...unknown, least];
}

export function keptTokens(tokenizer: TokenizerJson, { used, rare, special }: Wanted): Kept {
  const all = allTokens(tokenizer);
  const kept = new Map<string, keyof Kept["counts"]>();
  const keep = (token: string, why: keyof Kept["counts"]) => {
    if (all.has(token) && !kept.has(token)) kept.set(token, why);
  };
  for (const [token, id] of all) if (used.has(id)) keep(token, "used");
  for (const [token, id] of all) if (special.has(id) || special.has(token)) keep(token, "special");
  for (const { content } of tokenizer.added) keep(content, "special");
  for (const token of standing(tokenizer)) keep(token, "special");
  if (isByteLevel(tokenizer)) for (const character of byteCharacters()) keep(character, "bytes");
  for (const token of all.keys()) if (/^<0x[0-9A-Fa-f]{2}>$/.test(token)) keep(token, "bytes");
  for (const [token, id] of all)
    if (rare.has(id)) for (const part of charactersOf(token, tokenizer)) keep(part, "characters");
  if (tokenizer.type === "BPE") {
    const { end_of_word_suffix: suffix } = tokenizer.model;
    const paths = new MergePaths(tokenizer.merges, typeof suffix === "string" ? suffix : "");
    const added = new Set(tokenizer.added.map(({ content }) => content));
    for (const token of [...kept.keys()])
      if (!added.has(token)) for (const part of paths.formed(token)) keep(part, "merges");
  }
  const counts = { used: 0, special: 0, bytes: 0, merges: 0, characters: 0 };
  for (const why of kept.values()) counts[why]++;
  const tokens = [...kept.keys()].map((token) => [token, all.get(token)!] as const).sort((a, b) => a[1] - b[1]);
  return { tokens, counts };
}

/** The single characters of a token, also as continuing pieces of a word. */
function charactersOf(token: string, { model, type }: TokenizerJson): string[] {
  const own = model.continuing_subword_prefix;
  const prefix = type === "WordPiece" ? (typeof own === "string" ? own : "##") : "";
  const inner = prefix !== "" && token.startsWith(prefix) ? token.slice(prefix.length) : token;
  return [...inner].flatMap((character) => (prefix === "" ? [character] : [character, prefix + character]));
}
