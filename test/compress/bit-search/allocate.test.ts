import { expect, test } from "bun:test";
import { allocate, hullOf, type Item } from "../../../src/compress/bit-search/allocate.ts";
import { randomUnits } from "../../support/random.ts";

const tell = (size: number) => `${size} bytes`;
const sum = (choices: readonly { readonly size: number; readonly cost: number }[], of: "size" | "cost") =>
  choices.reduce((all, one) => all + one[of], 0);

/** Items of 2, 3, 4 and 8 bits whose costs fall with bits, more or less. */
function random(seed: number, count: number): Item[] {
  const unit = randomUnits(seed);
  return Array.from({ length: count }, (_, i) => {
    const [weights, scale] = [1 + Math.floor(4 * unit()), unit() * 10];
    const choices = [2, 3, 4, 8].map((bits) => {
      return { bits, size: bits * weights, cost: scale * 4 ** -bits * (0.5 + unit()) };
    });
    return { name: `m${i}`, choices };
  });
}

/** The least cost under a budget, of all there are. */
function bruteForce(items: readonly Item[], budget: number): number {
  const [first, ...rest] = items;
  if (!first) return budget < 0 ? Number.POSITIVE_INFINITY : 0;
  return Math.min(...first.choices.map(({ size, cost }) => cost + bruteForce(rest, budget - size)));
}

test("the hull has what is best at some price, in the order of size", () => {
  const choice = (bits: number, size: number, cost: number) => ({ bits, size, cost });
  const all = [choice(8, 8, 0), choice(4, 4, 6), choice(3, 3, 5), choice(2, 2, 10)];
  expect(hullOf(all).map(({ bits }) => bits)).toEqual([2, 3, 8]);
  expect(hullOf([choice(4, 4, 1), choice(2, 2, 1)]).map(({ bits }) => bits)).toEqual([2]);
});

test("no other choice at the size that is taken costs less, by more than the last step that did not fit", () => {
  for (let seed = 0; seed < 40; seed++) {
    const items = random(seed, 5);
    const least = items.reduce((all, { choices }) => all + choices[0]!.size, 0);
    const budget = least * (1 + 2 * randomUnits(seed + 99)());
    const found = allocate(items, budget, tell);
    expect(sum(found, "size")).toBeLessThanOrEqual(budget);
    const largest = Math.max(...items.map(({ choices }) => choices[3]!.size - choices[0]!.size));
    // Best at every price: with a step less to spend nothing is better.
    const slack = bruteForce(items, Math.max(least, budget - largest));
    expect(sum(found, "cost")).toBeLessThanOrEqual(slack * (1 + 1e-12));
    expect(sum(found, "cost")).toBeGreaterThanOrEqual(bruteForce(items, budget) * (1 - 1e-12));
  }
});

test("all that there is buys the most bits, and too little is refused with what is needed", () => {
  const items = random(1, 3).map(({ name, choices }) => ({
    name,
    choices: choices.map((choice) => ({ ...choice, cost: 10 - choice.bits })),
  }));
  expect(allocate(items, 1e9, tell).map(({ bits }) => bits)).toEqual([8, 8, 8]);
  const least = items.reduce((all, { choices }) => all + choices[0]!.size, 0);
  expect(allocate(items, least, tell).map(({ bits }) => bits)).toEqual([2, 2, 2]);
  expect(() => allocate(items, least - 1, tell)).toThrow(
    `the budget is ${least - 1} bytes, and the fewest bits take ${least} bytes`,
  );
});
