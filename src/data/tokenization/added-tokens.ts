/**
 * Added tokens: texts that are one token each, wherever they stand in a text, cut out before anything else is split.
 * The rules are those of the library `tokenizers` (src/tokenizer/added_vocabulary.rs): the first and longest match
 * counts; tokens that are not `normalized` are found in the text itself, the others in the normalized text.
 */
import { isObject, type Json, type JsonObject } from "../../json.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only between characters that are no letters, digits or underscores. */
  readonly singleWord: boolean;
  /** Takes the white space before it, or after it, too. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** A part of a text: a token, or text between tokens. */
export type Section = { readonly token: AddedToken } | { readonly text: string; readonly from: number };

const WORD_END = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_START = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /\p{White_Space}/u;

/** Reads an entry of `added_tokens`; undefined for what is none. */
export function addedToken(value: Json | undefined, id?: number): AddedToken | undefined {
  if (!isObject(value) || typeof value.content !== "string" || value.content === "") return undefined;
  const own = id ?? value.id;
  if (typeof own !== "number" || !Number.isInteger(own) || own < 0) return undefined;
  const special = value.special === true;
  return {
    id: own,
    content: value.content,
    singleWord: value.single_word === true,
    lstrip: value.lstrip === true,
    rstrip: value.rstrip === true,
    normalized: typeof value.normalized === "boolean" ? value.normalized : !special,
    special,
  };
}

/**
 * The added tokens of a tokenizer: those of tokenizer.json, those that only tokenizer_config.json has, and those that
 * it names by role, which are special. `idOf` looks in the model's vocabulary.
 */
export function addedTokens(
  definition: JsonObject,
  config: JsonObject,
  idOf: (token: string) => number | undefined,
): AddedToken[] {
  const tokens = new Map<string, AddedToken>();
  const listed = Array.isArray(definition.added_tokens) ? definition.added_tokens : [];
  const others = isObject(config.added_tokens_decoder) ? Object.entries(config.added_tokens_decoder) : [];
  const all = [
    ...listed.map((value) => addedToken(value)),
    ...others.map(([id, value]) => addedToken(value, Number(id))),
  ];
  for (const token of all) if (token !== undefined && !tokens.has(token.content)) tokens.set(token.content, token);
  for (const content of namedTokens(config)) {
    const known = tokens.get(content);
    const id = known?.id ?? idOf(content);
    if (id === undefined || content === "") continue;
    const plain = { content, id, singleWord: false, lstrip: false, rstrip: false, normalized: false };
    tokens.set(content, { ...(known ?? plain), special: true });
  }
  return [...tokens.values()];
}

const ROLES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** The texts of the tokens that tokenizer_config.json names by role. */
function namedTokens(config: JsonObject): string[] {
  const lists = ["additional_special_tokens", "extra_special_tokens"].flatMap((key) => {
    const value = config[key];
    return Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
  });
  return [...ROLES.map((key) => config[key]), ...lists]
    .map((value) => (isObject(value) ? value.content : value))
    .filter((value) => typeof value === "string");
}

/** Cuts texts at tokens. `form` gives the text by which a token is found. */
export function tokenCutter(
  tokens: readonly AddedToken[],
  form: (content: string) => string = (content) => content,
): (text: string) => Section[] {
  const byForm = new Map(tokens.map((token) => [form(token.content), token]));
  /** Lengths of the tokens that begin with a letter, the longest first. */
  const lengths = new Map<string, Set<number>>();
  for (const text of [...byForm.keys()].sort((a, b) => b.length - a.length)) {
    if (text === "") continue;
    const known = lengths.get(text[0]!);
    if (known) known.add(text.length);
    else lengths.set(text[0]!, new Set([text.length]));
  }
  const longestAt = (text: string, at: number): [AddedToken, number] | undefined => {
    for (const length of lengths.get(text[at]!) ?? []) {
      const token = byForm.get(text.slice(at, at + length));
      if (token && at + length <= text.length) return [token, length];
    }
    return undefined;
  };
  return (text) => {
    const sections: Section[] = [];
    let done = 0;
    for (let at = 0; at < text.length; ) {
      const [token, length] = longestAt(text, at) ?? [undefined, 1];
      const end = at + length;
      if (token && (!token.singleWord || standsAlone(text, at, end))) {
        const [from, to] = withSpaces(text, token, at, end);
        if (from > done) sections.push({ text: text.slice(done, from), from: done });
        sections.push({ token });
        done = to;
      }
      at = Math.max(end, done);
    }
    if (done < text.length) sections.push({ text: text.slice(done), from: done });
    return sections;
  };
}

/** Whether no word goes on before or after. */
function standsAlone(text: string, from: number, to: number): boolean {
  return !WORD_END.test(text.slice(Math.max(0, from - 2), from)) && !WORD_START.test(text.slice(to, to + 2));
}

function withSpaces(text: string, { lstrip, rstrip }: AddedToken, from: number, to: number): [number, number] {
  let [start, end] = [from, to];
  if (lstrip) while (start > 0 && SPACE.test(text[start - 1]!)) start--;
  if (rstrip) while (end < text.length && SPACE.test(text[end]!)) end++;
  return [start, end];
}
