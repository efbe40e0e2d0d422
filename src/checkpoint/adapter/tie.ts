/**
 * Tied embeddings: one tensor that is both the token embedding and the output head. An adapter that changes one of the
 * two parts them; leaving the head out then is the defect that users of merging tools report most.
 */

import { isObject, type JsonObject } from "../../json.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { parseObject } from "./config.ts";

export interface Tie {
  readonly embedding: string;
  /** The head's name; the base may hold no such tensor. */
  readonly head: string;
}

/** Embedding names of the usual decoders, and the head that goes with each. */
const PAIRS: readonly (readonly [embedding: RegExp, head: string])[] = [
  [/^(.*?)(?:model\.)?embed_tokens\.weight$/, "$1lm_head.weight"],
  [/^(.*?)(?:transformer\.)?wte\.weight$/, "$1lm_head.weight"],
  [/^(.*?)transformer\.word_embeddings\.weight$/, "$1lm_head.weight"],
  [/^(.*?)(?:gpt_neox\.)?embed_in\.weight$/, "$1embed_out.weight"],
];

/** Whether a tensor has the name of a token embedding. */
export const isTokenTable = (name: string): boolean => PAIRS.some(([embedding]) => embedding.test(name));

/**
 * The embedding and head of a checkpoint, and whether they are one tensor; undefined when it has no token embedding.
 */
export function findTie(base: Checkpoint): (Tie & { readonly tied: boolean }) | undefined {
  for (const embedding of base.tensors.keys()) {
    const pair = PAIRS.find(([pattern]) => pattern.test(embedding));
    if (pair === undefined) continue;
    const head = embedding.replace(pair[0], pair[1]);
    // When the config does not say, the tensors do: a model without a head can only be tied.
    return { embedding, head, tied: tieInConfig(base) ?? !base.tensors.has(head) };
  }
  return undefined;
}

function tieInConfig(base: Checkpoint): boolean | undefined {
  const bytes = base.files.get("config.json");
  if (bytes === undefined) return undefined;
  const config = parseObject(bytes, `${base.ref}: config.json`);
  const text = isObject(config.text_config) ? config.text_config : {};
  const value = config.tie_word_embeddings ?? text.tie_word_embeddings;
  return typeof value === "boolean" ? value : undefined;
}

/** config.json with `changes` made wherever it states those fields, and at its top if it states them nowhere. */
export function editConfig(
  files: ReadonlyMap<string, Uint8Array>,
  changes: JsonObject,
  where: string,
): Map<string, Uint8Array> {
  const edited = new Map(files);
  const bytes = files.get("config.json");
  if (bytes === undefined || Object.keys(changes).length === 0) return edited;
  const config = parseObject(bytes, `${where}: config.json`);
  const text = isObject(config.text_config) ? config.text_config : undefined;
  for (const [field, value] of Object.entries(changes)) {
    if (text !== undefined && Object.hasOwn(text, field)) text[field] = value;
    if (text === undefined || Object.hasOwn(config, field) || !Object.hasOwn(text, field)) config[field] = value;
  }
  return edited.set("config.json", new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`));
}
