/** Policies of caches on traces: their order, their bounds, and what wrong predictions cost. */
import { describe, expect, test } from "bun:test";
import { keyedUnits } from "../../../src/keyed-random.ts";
import { Cache, makePolicy, type PolicyName } from "../../../src/tensor/paging/cache.ts";

const LENGTH = 600;

const drawn = (name: string, pick: (u: number) => number): number[] => {
  const unit = keyedUnits(0, name);
  return Array.from({ length: LENGTH }, () => pick(unit()));
};

const TRACES: Readonly<Record<string, readonly number[]>> = {
  "even chance": drawn("even", (u) => Math.floor(u * 12)),
  "some much hotter": drawn("skewed", (u) => Math.floor(12 * u ** 3)),
  "in a circle": Array.from({ length: LENGTH }, (_, i) => i % 9),
  "there and back": Array.from({ length: LENGTH }, (_, i) => Math.min(i % 16, 15 - (i % 16))),
  "in stages": Array.from({ length: LENGTH }, (_, i) => Math.floor(i / 60) * 3 + ((i * i) % 5)),
};
const CASES = Object.keys(TRACES).flatMap((name) => [2, 3, 5, 8].map((size) => [name, size] as const));

/** Right bits: whether the item of each request is absent from the phase after that of the request. */
function rightBits(trace: readonly number[], size: number): boolean[] {
  const phases: Set<number>[] = [];
  const phaseOf = trace.map((item) => {
    const now = phases.at(-1);
    if (!now || (!now.has(item) && now.size === size)) phases.push(new Set([item]));
    else now.add(item);
    return phases.length - 1;
  });
  return trace.map((item, i) => !phases[phaseOf[i]! + 1]?.has(item));
}

function missesOf(name: PolicyName, trace: readonly number[], size: number, bits?: readonly boolean[]): number {
  let now = 0;
  const next = (item: number) => {
    const at = trace.indexOf(item, now + 1);
    return at < 0 ? Number.POSITIVE_INFINITY : at - now;
  };
  const unit = keyedUnits(1, name);
  const policy = makePolicy<number>(name, { unit, next, cold: () => bits?.[now] ?? false });
  const cache = new Cache(size, policy);
  let misses = 0;
  for (now = 0; now < trace.length; now++) {
    if (!cache.request(trace[now]!).hit) misses++;
    expect(cache.held.has(trace[now]!)).toBe(true);
    expect(cache.held.size).toBeLessThanOrEqual(size);
  }
  return misses;
}

/** The fewest misses that any policy has: a search over all sets that a small cache can hold. */
function fewest(trace: readonly number[], size: number): number {
  let states = new Map<string, number>([["", 0]]);
  for (const item of trace) {
    const after = new Map<string, number>();
    const keep = (held: readonly number[], cost: number) => {
      const key = [...held].sort((a, b) => a - b).join();
      after.set(key, Math.min(cost, after.get(key) ?? Number.POSITIVE_INFINITY));
    };
    for (const [key, cost] of states) {
      const held = key === "" ? [] : key.split(",").map(Number);
      if (held.includes(item)) keep(held, cost);
      else if (held.length < size) keep([...held, item], cost + 1);
      else for (const left of held) keep([...held.filter((one) => one !== left), item], cost + 1);
    }
    states = after;
  }
  return Math.min(...states.values());
}

describe.each(CASES)("%s, %d slots", (name, size) => {
  const trace = TRACES[name]!;
  const best = missesOf("oracle", trace, size);

  test("nothing misses less than the oracle, and right bits miss at most twice as often", () => {
    const predicted = missesOf("mark-predict", trace, size, rightBits(trace, size));
    expect(best).toBeLessThanOrEqual(predicted);
    expect(predicted).toBeLessThanOrEqual(2 * best);
    for (const other of ["lru", "mark"] as const) expect(missesOf(other, trace, size)).toBeGreaterThanOrEqual(best);
  });

  test("wrong bits stay within the bound of marking, and without bits it is marking", () => {
    const wrong = rightBits(trace, size).map((bit) => !bit);
    let harmonic = 0;
    for (let i = 1; i <= size; i++) harmonic += 1 / i;
    expect(missesOf("mark-predict", trace, size, wrong)).toBeLessThanOrEqual(size * best);
    expect(missesOf("mark", trace, size)).toBeLessThanOrEqual((2 * harmonic + 0.5) * best);
  });
});

test("the oracle has the fewest misses that there are", () => {
  for (const name of ["even chance", "some much hotter", "there and back"])
    for (const size of [1, 2, 3]) {
      const trace = TRACES[name]!.slice(0, 60);
      expect(missesOf("oracle", trace, size)).toBe(fewest(trace, size));
    }
});

test("flipped bits cost more as more of them are flipped", () => {
  const trace = drawn("long", (u) => Math.floor(16 * u ** 2));
  const bits = rightBits(trace, 6);
  const misses = [0, 0.25, 0.5, 1].map((share) => {
    // The mean of several draws: which bits are wrong is a matter of chance.
    const all = [0, 1, 2, 3, 4].map((seed) => {
      const unit = keyedUnits(seed, "flips");
      return missesOf(
        "mark-predict",
        trace,
        6,
        bits.map((bit) => (unit() < share ? !bit : bit)),
      );
    });
    return all.reduce((a, b) => a + b, 0) / all.length;
  });
  for (let i = 1; i < misses.length; i++) expect(misses[i]!).toBeGreaterThan(misses[i - 1]!);
});

test("a cache that holds everything misses each item once; a dropped one is asked for again", () => {
  for (const name of ["lru", "mark", "mark-predict", "oracle"] as const)
    expect(missesOf(name, TRACES["in a circle"]!, 9)).toBe(9);
  const cache = new Cache(2, makePolicy<string>("lru", { unit: () => 0, cold: () => false, next: () => 0 }));
  cache.request("a");
  cache.drop("a");
  expect(cache.request("a")).toEqual({ hit: false, left: undefined });
  expect(() => new Cache(0, makePolicy<string>("lru", { unit: () => 0, cold: () => false, next: () => 0 }))).toThrow(
    "1 item or more",
  );
});
