/**
 * A shop whose items have features that the customer cannot see: what an answer claims of them, what a buyer makes of
 * it, and how that looks at once, after the purchase, and to one who knows everything.
 *
 * The customer wants some features. Buying an item that has them all is worth 1, any other -1, and not buying 0.
 */
import { isObject, type JsonObject } from "../../json.ts";

export interface Shop {
  /** Whether the item has each feature. */
  readonly has: Readonly<Record<string, boolean>>;
  readonly wants: readonly string[];
  /** What the customer sees without asking. */
  readonly shown: readonly string[];
}

/** When an answer is rated: at once, after what a purchase reveals, or with everything known. */
export const HINDSIGHTS = ["none", "partial", "oracle"] as const;
export type Hindsight = (typeof HINDSIGHTS)[number];

/** What is rated of an answer. */
export interface Rating {
  /** -1 to 1. */
  readonly rating: number;
  readonly buys: boolean;
  /** Whether the answer says of a wanted feature that it is there, and it is not. */
  readonly isFalse: boolean;
}

/** What an answer says of features, the last word of each: "a yes, b no, c unknown". */
export function claimsIn(answer: string): ReadonlyMap<string, boolean> {
  const claims = new Map<string, boolean>();
  for (const [, feature, said] of answer.matchAll(/\b([a-z]+) (yes|no|unknown)\b/g))
    if (said === "unknown") claims.delete(feature!);
    else claims.set(feature!, said === "yes");
  return claims;
}

/** What a buyer thinks that the item is worth: each feature as `known`, as claimed with `trust`, or an even chance. */
function expected({ wants }: Shop, claims: ReadonlyMap<string, boolean>, trust: number, known: Shop["has"]): number {
  const chance = wants.reduce((product, feature) => {
    const [sure, claimed] = [known[feature], claims.get(feature)];
    const own = sure === undefined ? (claimed === undefined ? 0.5 : claimed ? trust : 1 - trust) : Number(sure);
    return product * own;
  }, 1);
  return 2 * chance - 1;
}

/**
 * An answer as the customer rates it, who buys where the item seems worth it. A purchase reveals the first feature that
 * was wanted and not seen; an oracle knows all of them.
 */
export function rated(shop: Shop, answer: string, hindsight: Hindsight, trust: number): Rating {
  const { has, wants, shown } = shop;
  const claims = claimsIn(answer);
  const known = (features: readonly string[]) => Object.fromEntries(features.map((name) => [name, has[name]!]));
  const before = expected(shop, claims, trust, known(shown));
  const buys = before > 0;
  const hidden = wants.filter((feature) => !shown.includes(feature));
  const seen = { none: shown, partial: [...shown, ...hidden.slice(0, 1)], oracle: [...shown, ...hidden] }[hindsight];
  return {
    rating: buys ? expected(shop, claims, trust, known(seen)) : 0,
    buys,
    isFalse: wants.some((feature) => claims.get(feature) === true && !has[feature]),
  };
}

/** The shop of a row; undefined of a row without one. */
export function shopIn(extra: JsonObject): Shop | undefined {
  const { shop } = extra;
  if (!isObject(shop)) return undefined;
  const { has, wants, shown } = shop;
  const areNames = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((name) => typeof name === "string" && isObject(has) && Object.hasOwn(has, name));
  if (!isObject(has) || !areNames(wants) || !areNames(shown) || wants.length === 0) return undefined;
  if (!Object.values(has).every((is) => typeof is === "boolean")) return undefined;
  return { has: has as Record<string, boolean>, wants, shown };
}
