/** The order of batches: complete, reproducible, different from epoch to epoch, and resumed exactly. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { BatchOrder, type BatchPlan, type OrderOptions } from "../../src/data/order.ts";
import { permutation } from "../../src/data/shuffle.ts";

const take = (order: BatchOrder, count: number): BatchPlan[] => Array.from({ length: count }, () => order.next());
const ones = (count: number) => new Array<number>(count).fill(1);
const group = (name: string, count: number) => ({ name, lengths: ones(count) });

/** Any valid options. */
const options: fc.Arbitrary<OrderOptions> = fc
  .record({
    groups: fc.array(fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 12 }), {
      minLength: 1,
      maxLength: 3,
    }),
    batchSize: fc.integer({ min: 1, max: 5 }),
    seed: fc.nat(1000),
    shuffle: fc.boolean(),
    pack: fc.option(fc.integer({ min: 10, max: 24 }), { nil: undefined }),
    weighted: fc.boolean(),
  })
  .map(({ groups, weighted, pack, ...rest }) => ({
    ...rest,
    groups: groups.map((lengths, i) => ({ name: `g${i}`, lengths })),
    ...(pack === undefined ? {} : { pack }),
    ...(weighted ? { weights: groups.map((_, i) => i + 0.5) } : {}),
  }));

test("a resumed order gives what the uninterrupted one would have given, wherever it stopped", () => {
  fc.assert(
    fc.property(options, fc.nat(60), (given, stop) => {
      const whole = take(new BatchOrder(given), stop + 20);
      const first = new BatchOrder(given);
      expect(take(first, stop)).toEqual(whole.slice(0, stop));
      const state = JSON.parse(JSON.stringify(first.state()));
      expect(first.next()).toEqual(whole[stop]!); // asking for the state changes nothing
      const second = new BatchOrder(given);
      second.load(state, "state");
      expect(take(second, 20)).toEqual(whole.slice(stop));
    }),
  );
});

test("without weights every epoch has every sequence once", () => {
  fc.assert(
    fc.property(options, (given) => {
      const { weights: _, ...rest } = given;
      const order = new BatchOrder(rest);
      const total = given.groups.reduce((sum, { lengths }) => sum + lengths.length, 0);
      const seen = new Map<number, number[]>();
      for (let plan = order.next(); plan.epoch < 3; plan = order.next()) {
        expect(plan.bins.length).toBeLessThanOrEqual(given.batchSize);
        seen.set(plan.epoch, [...(seen.get(plan.epoch) ?? []), ...plan.bins.flat()]);
      }
      const all = Array.from({ length: total }, (_, i) => i);
      for (const epoch of [0, 1, 2]) expect(seen.get(epoch)!.sort((a, b) => a - b)).toEqual(all);
    }),
  );
});

test("without shuffling, batches are the rows in order", () => {
  const order = (dropLast: boolean) =>
    new BatchOrder({ groups: [group("a", 3), group("b", 2)], batchSize: 2, shuffle: false, dropLast });
  expect(take(order(false), 4).map(({ epoch, batch, bins }) => [epoch, batch, bins.flat()])).toEqual([
    [0, 0, [0, 1]],
    [0, 1, [2, 3]],
    [0, 2, [4]],
    [1, 0, [0, 1]],
  ]);
  expect(take(order(true), 3).map(({ epoch, bins }) => [epoch, bins.flat()])).toEqual([
    [0, [0, 1]],
    [0, [2, 3]],
    [1, [0, 1]],
  ]);
  expect(order(false).batchesPerEpoch).toBe(3);
  expect(order(true).batchesPerEpoch).toBe(2);
});

test("seed and epoch make the order", () => {
  const epochs = (seed: number) =>
    take(new BatchOrder({ groups: [group("a", 50)], batchSize: 50, seed }), 2).map(({ bins }) => bins.flat());
  const [first, second] = epochs(1);
  expect(epochs(1)).toEqual([first!, second!]);
  expect(second).not.toEqual(first!);
  expect(epochs(2)[0]).not.toEqual(first!);
});

test("a permutation holds every number once, and each place is as likely as any other", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 300 }), fc.nat(), fc.nat(9), (count, seed, epoch) => {
      const order = permutation(count, seed, epoch);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
    }),
  );
  const counts = new Map<string, number>();
  for (let epoch = 0; epoch < 6000; epoch++) {
    const key = permutation(3, 0, epoch).join("");
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  // Six permutations, 1000 of each expected, standard deviation 29.
  expect(counts.size).toBe(6);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

test("weights are the shares of groups, and a group repeats no row before it has given all", () => {
  const order = new BatchOrder({
    groups: [group("a", 10), group("b", 990), group("c", 500)],
    batchSize: 100,
    weights: [1, 3, 0],
  });
  const drawn = take(order, 30).flatMap(({ bins }) => bins.flat()); // two epochs of 1500
  const a = drawn.filter((sequence) => sequence < 10);
  const b = drawn.filter((sequence) => sequence >= 10 && sequence < 1000);
  expect(a.length + b.length).toBe(3000);
  expect(Math.abs(a.length - 750)).toBeLessThan(120); // five standard deviations
  for (const [rows, size] of [
    [a, 10],
    [b, 990],
  ] as const) {
    for (let at = 0; at + size <= rows.length; at += size) expect(new Set(rows.slice(at, at + size)).size).toBe(size);
  }
  expect(a.slice(0, 10)).not.toEqual(a.slice(10, 20));
});

test("packed rows keep to their length", () => {
  const lengths = [4, 3, 3, 2, 5, 1];
  const plan = new BatchOrder({ groups: [{ name: "a", lengths }], batchSize: 9, shuffle: false, pack: 6 }).next();
  expect(plan.bins).toEqual([
    [0, 3],
    [1, 2],
    [4, 5],
  ]);
});

test("a state of other data or settings is refused", () => {
  const made = { groups: [group("a", 4)], batchSize: 2 };
  const state = new BatchOrder(made).state();
  const load =
    (other: Partial<OrderOptions>, from: unknown = state) =>
    () =>
      new BatchOrder({ ...made, ...other }).load(from, "run.json");
  expect(load({})).not.toThrow();
  expect(load({ batchSize: 1 })).toThrow("run.json was saved with batch size 2, this run has 1");
  expect(load({ seed: 5 })).toThrow("run.json was saved with seed 0, this run has 5");
  expect(load({ shuffle: false })).toThrow("run.json was saved with shuffling on, this run has off");
  expect(load({ groups: [group("a", 5)] })).toThrow("run.json was saved with groups a (4), this run has a (5)");
  expect(load({ groups: [{ name: "a", lengths: [1, 1, 1, 2] }] })).toThrow("run.json was saved with other data");
  for (const damaged of [null, 3, {}, { ...state, batch: -1 }, { ...state, drawn: [] }, { ...state, drawn: ["1"] }]) {
    expect(load({}, damaged)).toThrow("run.json does not say which batch comes next");
  }
});

test("options that leave no batch are refused", () => {
  const make = (given: Partial<OrderOptions>) => () =>
    new BatchOrder({ groups: [group("a", 3)], batchSize: 2, ...given });
  expect(make({ batchSize: 4, dropLast: true })).toThrow("an epoch has 3 rows, fewer than the batch size of 4");
  expect(make({ groups: [group("a", 1), group("b", 0)] })).toThrow("the group b has no rows");
  expect(make({ weights: [1, 1] })).toThrow("2 weights for 1 groups of data");
  expect(make({ weights: [0] })).toThrow("every weight of data is 0");
  expect(make({ weights: [Number.NaN] })).toThrow("a weight of data should be a number >= 0, found NaN");
});
