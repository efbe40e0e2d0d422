/** A shop: what answers claim, what buyers make of it, and how it looks at once and in hindsight. */
import { describe, expect, test } from "bun:test";
import { claimsIn, HINDSIGHTS, rated, type Shop, shopIn } from "../../../src/data/worlds/shop.ts";

const NAMES = ["a", "b", "c"];
/** All items of three features, of which two are wanted. */
const SHOPS: Shop[] = Array.from({ length: 8 }, (_, bits) => ({
  has: Object.fromEntries(NAMES.map((name, i) => [name, Boolean(bits & (1 << i))])),
  wants: ["b", "a"],
  shown: [],
}));
const WORDS = ["yes", "no", "unknown"];
const ANSWERS = WORDS.flatMap((b) => WORDS.map((a) => `b ${b}, a ${a}`));

test("the last word on a feature counts", () => {
  expect([...claimsIn("a yes, b no, a no, c unknown; d maybe")]).toEqual([
    ["a", false],
    ["b", false],
  ]);
  expect([...claimsIn("a yes, a unknown")]).toEqual([]);
});

describe("a rating", () => {
  const item = (b: boolean, a: boolean, shown: readonly string[] = []): Shop => ({
    ...{ has: { a, b, c: true }, wants: ["b", "a"], shown },
  });

  test("at once is what the claims promise, whatever the item has", () => {
    for (const shop of SHOPS) {
      expect(rated(shop, "b yes, a yes", "none", 0.9)).toMatchObject({ buys: true, rating: expect.closeTo(0.62, 12) });
      for (const answer of ["b yes, a unknown", "b no, a yes", ""])
        expect(rated(shop, answer, "none", 0.9)).toMatchObject({ buys: false, rating: 0 });
    }
  });

  test("after the purchase knows the feature that was wanted first, and an oracle both", () => {
    const said = (b: boolean, a: boolean) =>
      HINDSIGHTS.map((hindsight) => rated(item(b, a), "b yes, a yes", hindsight, 0.9).rating);
    const close = (...all: number[]) => all.map((x) => expect.closeTo(x, 12));
    expect(said(true, true)).toEqual(close(0.62, 0.8, 1));
    expect(said(true, false)).toEqual(close(0.62, 0.8, -1));
    expect(said(false, true)).toEqual(close(0.62, -1, -1));
  });

  test("is the same whenever it is given where everything is seen", () => {
    for (const shop of SHOPS)
      for (const answer of ANSWERS) {
        const all = { ...shop, shown: NAMES };
        const ratings = HINDSIGHTS.map((hindsight) => rated(all, answer, hindsight, 0.9));
        expect(new Set(ratings.map(({ rating }) => rating)).size).toBe(1);
        expect(ratings[0]!.rating).toBe(shop.has.a && shop.has.b ? 1 : 0);
      }
  });

  test("of an oracle is 1 of a purchase that fits, -1 of another, 0 of none, and false claims are told", () => {
    for (const shop of SHOPS)
      for (const answer of ANSWERS) {
        const { rating, buys, isFalse } = rated(shop, answer, "oracle", 0.9);
        expect(rating).toBe(buys ? (shop.has.a && shop.has.b ? 1 : -1) : 0);
        expect(isFalse).toBe(["a", "b"].some((name) => answer.includes(`${name} yes`) && !shop.has[name]));
      }
  });
});

test("rows say what a shop is, or have none", () => {
  const [shop] = SHOPS;
  expect(shopIn({ shop: JSON.parse(JSON.stringify(shop)) })).toEqual(shop!);
  const odd = [1, {}, { ...shop, wants: [] }, { ...shop, wants: ["z"] }, { ...shop, has: { a: 1, b: true } }];
  for (const own of odd) expect(shopIn({ shop: own as never })).toBeUndefined();
  expect(shopIn({})).toBeUndefined();
});
