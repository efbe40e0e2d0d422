/** The files of a tokenizer, as they go with the result of a recipe that chooses one. */
import { vocabularyOf } from "../../data/vocabulary.ts";
import { decodeText, isObject, type Json, parseJson } from "../../json.ts";
import { type NamedModel, TEXT_CONFIGS } from "../../model/names.ts";
import { editJson } from "../plan/json-edit.ts";
import type { Target } from "./target.ts";

/** What slow tokenizers read: made from the same vocabulary, so they no longer hold where it changes. */
const SLOW = ["vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "added_tokens.json"];
const OWN = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];
const NAMES = [...OWN, ...SLOW];

/** Puts the tokenizer files of `from` in place of those in `files`. */
export function takeTokenizer(files: Map<string, Uint8Array>, from: ReadonlyMap<string, Uint8Array>): void {
  for (const name of NAMES) {
    const bytes = from.get(name);
    if (bytes) files.set(name, bytes);
    else files.delete(name);
  }
}

/**
 * Puts a changed tokenizer.json in the place of the old one; gives the names of files that say less than it now, and
 * are taken out.
 */
export function putTokenizer(files: Map<string, Uint8Array>, bytes: Uint8Array): string[] {
  files.set("tokenizer.json", bytes);
  const left = SLOW.filter((name) => files.has(name));
  for (const name of left) files.delete(name);
  return left;
}

/**
 * By name; undefined removes a file of `donor`, whose files otherwise go with the result: another model's tokenizer
 * replaces all of them, and one that took tokens up has no form but tokenizer.json.
 */
function tokenizerFiles(
  donor: NamedModel,
  { source, file }: Target,
  warnings: string[],
): ReadonlyMap<string, Uint8Array | undefined> {
  const files = new Map<string, Uint8Array | undefined>();
  if (source.checkpoint !== donor.checkpoint)
    for (const name of NAMES) files.set(name, source.checkpoint.files.get(name));
  if (file === undefined) return files;
  files.set("tokenizer.json", file);
  const left = SLOW.filter((name) => source.checkpoint.files.has(name));
  for (const name of left) files.set(name, undefined);
  if (left.length > 0) warnings.push(`${left.join(", ")} of ${source.ref} lack the new tokens and are left out`);
  return files;
}

/** Text and keys of a JSON object that a model's ids of special tokens stand in. */
const HOLDERS = ["config.json", "generation_config.json"];

/** Puts the tokenizer of `target` among the files of a result that otherwise are those of `donor`. */
export function replaceTokenizer(
  files: Map<string, Uint8Array>,
  donor: NamedModel,
  target: Target,
  warnings: string[],
): void {
  for (const [name, bytes] of tokenizerFiles(donor, target, warnings))
    if (bytes === undefined) files.delete(name);
    else files.set(name, bytes);
  moveSpecialIds(files, donor, target, warnings);
}

/** The values of `..._token_id` keys that are other ids under the new vocabulary, set in the files of `donor`. */
function moveSpecialIds(
  files: Map<string, Uint8Array>,
  donor: NamedModel,
  { source, tokens }: Target,
  warnings: string[],
): void {
  if (source.checkpoint === donor.checkpoint) return;
  const texts = new Map([...(vocabularyOf(donor.checkpoint) ?? [])].map(([token, id]) => [id, token]));
  changeStatedIds(files, donor.ref, (id, { file, path }) => {
    const there = tokens.get(texts.get(id) ?? "");
    if (there === undefined) warnings.push(`${file}: ${path} ${id} is no token of ${source.ref}; look at it`);
    return there ?? id;
  });
}

/** Where an id stands. */
export interface IdPlace {
  readonly file: string;
  /** The keys that lead there, with points between them. */
  readonly path: string;
}

/** Changes the ids that `..._token_id` keys of config.json and generation_config.json name, of the model `ref`. */
export function changeStatedIds(
  files: Map<string, Uint8Array>,
  ref: string,
  moved: (id: number, place: IdPlace) => number,
): void {
  for (const name of HOLDERS) {
    const bytes = files.get(name);
    if (!bytes) continue;
    const what = `${name} of ${ref}`;
    const before = decodeText(bytes, what);
    let text = before;
    for (const { path, value } of statedIds(parseJson(before, what).value)) {
      const place = { file: name, path: path.join(".") };
      const ids = Array.isArray(value) ? [...new Set(value.map((id) => moved(id, place)))] : moved(value, place);
      if (JSON.stringify(ids) !== JSON.stringify(value)) text = editJson(text, path, ids);
    }
    if (text !== before) files.set(name, new TextEncoder().encode(text));
  }
}

interface StatedIds {
  readonly path: readonly string[];
  readonly value: number | number[];
}

/** Ids of special tokens in a config and in those of its language part. */
function statedIds(config: Json, path: readonly string[] = []): StatedIds[] {
  if (!isObject(config)) return [];
  return Object.entries(config).flatMap(([key, value]) => {
    const at = [...path, key];
    if (path.length === 0 && TEXT_CONFIGS.includes(key)) return statedIds(value as Json, at);
    return /_token_(id|index)$/.test(key) && isIds(value) ? [{ path: at, value }] : [];
  });
}

const isIds = (value: unknown): value is number | number[] =>
  isId(value) || (Array.isArray(value) && value.every(isId));

/** A negative id says that there is none. */
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Keys of configs that list ids of tokens, one after the other. */
const LISTS = ["suppress_tokens", "begin_suppress_tokens"];
/** Keys whose ids stand deeper, and are not changed. */
const NESTED = ["bad_words_ids", "forced_decoder_ids", "force_words_ids", "sequence_bias"];

/**
 * Changes the ids in lists of config.json and generation_config.json that keep tokens from being written; an id of no
 * token leaves its list. Gives what has to be looked at by hand.
 */
export function listedIds(
  files: Map<string, Uint8Array>,
  ref: string,
  moved: (id: number) => number | undefined,
): string[] {
  const warnings: string[] = [];
  for (const name of HOLDERS) {
    const bytes = files.get(name);
    if (!bytes) continue;
    const what = `${name} of ${ref}`;
    const before = decodeText(bytes, what);
    const config = parseJson(before, what).value;
    if (!isObject(config)) continue;
    let text = before;
    for (const key of LISTS) {
      const list = config[key];
      if (!isIds(list) || !Array.isArray(list)) continue;
      const ids = list.flatMap((id) => moved(id) ?? []);
      if (JSON.stringify(ids) !== JSON.stringify(list)) text = editJson(text, [key], ids);
    }
    for (const key of NESTED)
      if (isObject(config[key]) || Array.isArray(config[key]))
        warnings.push(`${name}: ${key} names tokens by their old ids; look at it`);
    if (text !== before) files.set(name, new TextEncoder().encode(text));
  }
  return warnings;
}
