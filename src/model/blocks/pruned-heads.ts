/**
 * Heads that were taken out of blocks, as Hugging Face's configs list them: `pruned_heads` has the numbers that are
 * gone by block, among `num_attention_heads` of each. The matrices of a block are those of the heads that are left.
 */
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import type { Json, ModelSizes } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";

export const PRUNED = "pruned_heads";

/** Numbers of the heads that are gone, by block. */
export type PrunedHeads = ReadonlyMap<number, readonly number[]>;

/** Those of a block, of a value of config.json; none where it is no such list. */
export function prunedIn(json: unknown, layer: number): readonly number[] {
  const own = isObject(json) && Object.hasOwn(json, layer) ? json[layer] : undefined;
  return Array.isArray(own) ? own.filter((head) => typeof head === "number") : [];
}

/** Reads them. Throws UserError for heads or blocks that are not there, and for a block without heads. */
export function prunedHeads(c: ConfigReader, layers: number, heads: number): PrunedHeads {
  const json = c.object(PRUNED) ?? {};
  const found = new Map<number, readonly number[]>();
  for (const [key, list] of Object.entries(json)) {
    const own = Array.isArray(list) ? list : [];
    const isKnown = own.every((head) => Number.isInteger(head) && head >= 0 && head < heads);
    const layer = Number(key);
    if (!Array.isArray(list) || !isKnown || new Set(own).size !== own.length || !(layer >= 0 && layer < layers))
      throw new UserError(
        `${c.where}: ${PRUNED} has ${JSON.stringify(list)} for block ${key}, of ${layers} blocks of ${heads} heads`,
        "it lists numbers of heads by block, from 0",
      );
    if (own.length >= heads)
      throw new UserError(`${c.where}: ${PRUNED} leaves no head in block ${key}`, "keep one at least");
    if (own.length > 0) found.set(layer, own);
  }
  return found;
}

/** Heads that a block has. */
export const headsLeft = (c: { readonly heads: number; readonly pruned: PrunedHeads }, layer: number): number =>
  c.heads - (c.pruned.get(layer)?.length ?? 0);

/** How config.json says it. */
export const prunedJson = (pruned: PrunedHeads): Json =>
  pruned.size > 0 ? { [PRUNED]: Object.fromEntries(pruned) } : {};

/** Heads of every layer, where all have as many. */
export const evenAttention = (c: {
  readonly heads: number;
  readonly width: number;
  readonly pruned: PrunedHeads;
}): Pick<ModelSizes, "attention"> =>
  c.pruned.size > 0 ? {} : { attention: { heads: c.heads, kvHeads: c.heads, headDim: c.width / c.heads } };
