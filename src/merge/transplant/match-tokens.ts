/** Which row of a model each token of a donor gets as it is, and which tokens have to be approximated. */
import type { WantedToken } from "../approximation.ts";
import { byteKey, type KeyedToken, type KeyedVocabulary, prefixKeys } from "../vocabulary/token-keys.ts";

/** In which tables a match of a kind counts. */
export type Where = "no" | "yes" | "embed" | "lm_head";

export interface Allowed {
  readonly prefix: boolean;
  readonly byte: boolean;
}

export interface Matches {
  /** Row of the model by the donor's id. */
  readonly rows: ReadonlyMap<number, number>;
  readonly exact: number;
  readonly byte: number;
  readonly prefix: number;
  /** By rising id. */
  readonly wanted: readonly WantedToken[];
}

export const allowedIn = (where: Where, use: "embedding" | "head"): boolean =>
  where === "yes" || where === (use === "embedding" ? "embed" : "lm_head");

/** The id of the first of several keys that a vocabulary has. */
function idOf(keys: Iterable<string>, { ids }: KeyedVocabulary): number | undefined {
  for (const key of keys) if (ids.has(key)) return ids.get(key);
  return undefined;
}

export const exactId = ({ keys }: KeyedToken, model: KeyedVocabulary): number | undefined => idOf(keys, model);

/** `height`: rows of the model's table; a token whose row would lie beyond has none. */
export function matchTokens(
  donor: KeyedVocabulary,
  model: KeyedVocabulary,
  { height, allowed }: { readonly height: number; readonly allowed: Allowed },
): Matches {
  const rows = new Map<number, number>();
  const counts = { exact: 0, byte: 0, prefix: 0 };
  const wanted: WantedToken[] = [];
  for (const token of donor.tokens) {
    const ways = {
      exact: () => exactId(token, model),
      byte: () =>
        allowed.byte
          ? idOf(
              token.keys.flatMap((key) => byteKey(key) ?? []),
              model,
            )
          : undefined,
      prefix: () =>
        allowed.prefix
          ? idOf(
              token.keys.flatMap((key) => [...prefixKeys(key)]),
              model,
            )
          : undefined,
    };
    const way = (["exact", "byte", "prefix"] as const).find((name) => (ways[name]() ?? height) < height);
    if (way === undefined) wanted.push({ id: token.id, token: token.token });
    else {
      rows.set(token.id, ways[way]()!);
      counts[way]++;
    }
  }
  return { rows, ...counts, wanted };
}
