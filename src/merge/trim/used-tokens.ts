/** How often texts have each token, and whether a smaller vocabulary cuts them as the whole one does. */
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import { type EncodeOptions, encodeRow } from "../../data/sequences.ts";

export interface Usage {
  readonly rows: number;
  readonly tokens: number;
  /** By id. */
  readonly counts: ReadonlyMap<number, number>;
}

/** What rows are read with, and who hears of them. */
export interface Reading {
  readonly encode: Omit<EncodeOptions, "group">;
  readonly signal: AbortSignal;
  done(rows: number): void;
}

/** Throws UserError for the first row that does not fit. */
export async function countTokens(groups: readonly GroupReference[], reading: Reading): Promise<Usage> {
  const counts = new Map<number, number>();
  let [rows, tokens] = [0, 0];
  for (const group of groups)
    for await (const row of readRows(group)) {
      reading.signal.throwIfAborted();
      for (const { ids } of encodeRow(row, reading.encode)) {
        tokens += ids.length;
        for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
      }
      rows++;
      reading.done(1);
    }
  return { rows, tokens, counts };
}

/** Rows that the new vocabulary cuts otherwise, and the place of the first. Rows of ids are not read again. */
export async function compareRows(
  groups: readonly GroupReference[],
  { before, after, old }: { readonly before: Reading; readonly after: Reading; readonly old: readonly number[] },
): Promise<{ readonly count: number; readonly first?: string }> {
  let count = 0;
  let first: string | undefined;
  for (const group of groups)
    for await (const row of readRows(group)) {
      before.signal.throwIfAborted();
      before.done(1);
      if (row.row.form === "tokens") continue;
      const one = encodeRow(row, before.encode).flatMap(({ ids }) => [...ids]);
      const other = encodeRow(row, after.encode).flatMap(({ ids }) => [...ids].map((id) => old[id]!));
      if (one.length === other.length && one.every((id, i) => id === other[i])) continue;
      count++;
      first ??= row.place;
    }
  return { count, ...(first !== undefined && { first }) };
}
