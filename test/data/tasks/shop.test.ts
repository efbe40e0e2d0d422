/** Advice in a shop: rows say what the item has, and claim as much as the options say. */
import { expect, test } from "bun:test";
import { claimsIn, rated, type Shop } from "../../../src/data/worlds/shop.ts";
import { openTask, rowsOf } from "./open-task.ts";

interface Advice {
  readonly prompt: string;
  readonly completion: string;
  readonly utility: number;
  readonly shop: Shop;
}

const N = 2000;
const advice = async (options: Record<string, unknown>) =>
  rowsOf(await openTask("shop", options), N) as unknown as Advice[];

test("prompts tell the item and what is wanted, and answers speak of each feature that is", async () => {
  for (const { prompt, completion, utility, shop } of await advice({ features: 4, shown: 1 })) {
    const there = Object.keys(shop.has).filter((name) => shop.has[name]);
    expect(prompt).toBe(`has ${there.join(", ") || "nothing"}; wants ${shop.wants.join(", ")}: `);
    expect(completion.split(", ").map((part) => part.split(" ")[0]!)).toEqual([...shop.wants]);
    expect(shop.shown).toEqual(["a"]);
    expect(utility).toBe(rated(shop, completion, "oracle", 0.9).rating);
  }
});

test("claims are false as often as --lies says, and missing as often as --silence", async () => {
  const rows = await advice({ lies: 0.3, silence: 0.2 });
  const said = rows.flatMap(({ completion, shop }) =>
    shop.wants.map((name) => ({ claim: claimsIn(completion).get(name), has: shop.has[name]! })),
  );
  const near = (share: number, wanted: number, of: number) =>
    expect(Math.abs(share - wanted)).toBeLessThan(4 * Math.sqrt((wanted * (1 - wanted)) / of));
  near(said.filter(({ claim }) => claim === undefined).length / said.length, 0.2, said.length);
  const missing = said.filter(({ has, claim }) => !has && claim !== undefined);
  near(missing.filter(({ claim }) => claim).length / missing.length, 0.3, missing.length);
  expect(said.filter(({ has, claim }) => has && claim === false)).toEqual([]);
  const honest = await advice({ lies: 0, silence: 0 });
  expect(Math.min(...honest.map(({ utility }) => utility))).toBe(0);
});

test("rows in turn are about one item, with other answers", async () => {
  const rows = await advice({ answers: 4 });
  for (let from = 0; from < N; from += 4)
    expect(new Set(rows.slice(from, from + 4).map(({ prompt }) => prompt)).size).toBe(1);
  const several = Array.from(
    { length: N / 4 },
    (_, i) => new Set(rows.slice(4 * i, 4 * i + 4).map((row) => row.completion)).size,
  );
  expect(several.filter((count) => count > 1).length).toBeGreaterThan(N / 8);
});

test("refuses more than there is", async () => {
  expect(openTask("shop", { features: 2, wanted: 3 })).rejects.toThrow("--wanted 3 is more than --features 2");
  expect(openTask("shop", { features: 2, shown: 3 })).rejects.toThrow("--shown 3 is more than --features 2");
});
