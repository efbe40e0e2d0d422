import { describe, expect, test } from "bun:test";
import { type BankOrder, servedOrders, withoutSlice } from "../../src/model/adapters/bank/manifest.ts";
import { lasting, ordersByOdds, rotations } from "../../src/train/s3t/orders.ts";
import { randomUnits } from "../support/random.ts";

const SLICES = 6;

/** Deletions until no order of any shard is left, in the mean of `trials`. */
function capacity(budget: number, shards: number, trials: number): number {
  const unit = randomUnits(100 * budget + shards);
  let total = 0;
  for (let trial = 0; trial < trials; trial++) {
    let orders: BankOrder[] = Array.from({ length: shards }, (_, shard) =>
      rotations(SLICES, budget).map((slices) => ({ shard, slices, stages: SLICES, losses: [] })),
    ).flat();
    for (;;) {
      total++;
      orders = withoutSlice(orders, Math.floor(shards * unit()), Math.floor(SLICES * unit()));
      orders = orders.filter(({ stages }) => stages > 0);
      if (orders.length === 0) break;
    }
  }
  return total / trials;
}

const harmonic = (n: number): number => Array.from({ length: n }, (_, i) => 1 / (i + 1)).reduce((a, b) => a + b, 0);

describe("how many deletions a bank lasts for", () => {
  test.each([1, 2, 3, 6])("one shard with %d rotations: L (1 + 1/2 + .. + 1/B)", (budget) => {
    const expected = SLICES * harmonic(budget);
    expect(Math.abs(capacity(budget, 1, 4000) / expected - 1)).toBeLessThan(0.05);
  });

  test.each([
    [1, 68],
    [4, 108],
  ])("five shards with %d rotations: about %d", (budget, expected) => {
    expect(Math.abs(capacity(budget, 5, 400) / expected - 1)).toBeLessThan(0.06);
  });
});

describe("orders", () => {
  test("rotations put each slice first once; more of them keep prefixes", () => {
    expect(rotations(3, 3)).toEqual([
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ]);
    const many = rotations(4, 24);
    expect(new Set(many.map(String)).size).toBe(24);
    for (const order of many) expect(order.toSorted()).toEqual([0, 1, 2, 3]);
    expect(many[4]!.slice(0, 1)).toEqual([0]);
    expect(() => rotations(2, 3)).toThrow("--budget 3 asks for more orders than the 2 of 2 slices");
  });

  test("known odds: every order begins with another slice, the likeliest goes last, and the best come first", () => {
    const odds = [0.4, 0.05, 0.3, 0.01];
    const orders = ordersByOdds(odds, 4, 3);
    expect(new Set(orders.map(([first]) => first)).size).toBe(4);
    expect(orders[0]!.slice(2)).toEqual([2, 0]);
    for (const order of orders) expect(order.toSorted()).toEqual([0, 1, 2, 3]);
    const scores = orders.map((order) => lasting(order, odds, 3));
    expect(scores.toSorted((a, b) => b - a)).toEqual(scores);
    const score = (order: readonly number[]) => lasting(order, [0.2, 0.1, 0], 2);
    expect(score([2, 1])).toBeCloseTo(1 + 2 * 0.9 ** 2, 12);
    expect(() => ordersByOdds(odds, 5, 3)).toThrow("asks for more orders than the 4 slices");
    expect(() => ordersByOdds([0.9, 0.9], 1, 3)).toThrow("more than 1");
  });

  test("the first slices are assigned so that all prefixes of two together last longest", () => {
    const odds = [0.3, 0.1, 0.25];
    const second = ordersByOdds(odds, 3, 5).toSorted((a, b) => a[0]! - b[0]!);
    const worth = (next: readonly number[]) =>
      next.reduce((sum, j, u) => sum + (u === j ? Number.NEGATIVE_INFINITY : lasting([u, j], odds, 5)), 0);
    const all = [
      [1, 2, 0],
      [2, 0, 1],
    ];
    expect(worth(second.map((order) => order[1]!))).toBeCloseTo(Math.max(...all.map(worth)), 12);
  });

  test("the longest order answers, of equals that of the least held-out loss", () => {
    const order = (stages: number, losses: number[], shard = 0): BankOrder => ({
      shard,
      slices: [0, 1],
      stages,
      losses,
    });
    const given = [order(1, [0.5, 1]), order(2, [0.1, 0.4]), order(2, [0.9, 0.3]), order(0, [], 1)];
    expect(servedOrders({ shards: 2, orders: given })).toEqual([2, undefined]);
  });
});
