import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { evened } from "../../../src/merge/search/even-scores.ts";
import { method } from "../../../src/merge/searches/bo.ts";
import { method as random } from "../../../src/merge/searches/random.ts";
import type { GeneValues } from "../../../src/run/searching/space.ts";
import { bestOf, searchOf, unitSpace } from "../../support/search.ts";

/** A random smooth function of [0, 1]: four waves. */
function smooth(seed: number) {
  const draw = new Random("smooth", seed);
  const waves = Array.from(
    { length: 4 },
    (_, k) => [draw.normal() / (k + 1), 2 + 3 * k, 6.3 * draw.uniform()] as const,
  );
  return ([x]: GeneValues) => [waves.reduce((sum, [a, w, p]) => sum + a * Math.sin(w * (x as number) + p), 0)];
}

const maximum = (f: ReturnType<typeof smooth>) =>
  Math.max(...Array.from({ length: 4001 }, (_, i) => f([i / 4000])[0]!));

test("simple regret after 15 steps on random smooth functions is far below that of random points", async () => {
  let [own, other] = [0, 0];
  for (let seed = 1; seed <= 10; seed++) {
    const f = smooth(seed);
    const setup = { space: unitSpace(1), budget: 15, seed, values: { candidates: 200 } };
    own += maximum(f) - bestOf(await searchOf(method, f, setup));
    other += maximum(f) - bestOf(await searchOf(random, f, setup));
  }
  expect(other / 10).toBeGreaterThan(0.01);
  expect(own).toBeLessThan(other / 5);
});

test("finds the best choice and the best whole number with the best number", async () => {
  const space = [
    ...unitSpace(1),
    { kind: "integer", name: "rank", low: 1, high: 8, default: 1 },
    { kind: "choice", name: "sign", choices: ["sum", "count", "none"], default: "sum" },
  ] as const;
  const f = ([x, rank, sign]: GeneValues) => [
    -(((x as number) - 0.7) ** 2) - 0.05 * ((rank as number) - 6) ** 2 - (sign === "none" ? 0 : 0.5),
  ];
  const found = await searchOf(method, f, { space, budget: 35, values: { candidates: 200 } });
  expect(bestOf(found)).toBeGreaterThan(-0.01);
  const keys = found.trials.map(({ point }) => JSON.stringify(point.values));
  expect(new Set(keys).size).toBe(keys.length);
});

test("a space of a few points is tried to its end, and goes on", async () => {
  const space = [{ kind: "choice", name: "sign", choices: ["a", "b"], default: "b" }] as const;
  const { trials } = await searchOf(method, ([sign]) => [sign === "a" ? 1 : 0], { space, budget: 4 });
  expect(trials[0]!.point.values).toEqual(["b"]);
  expect(new Set(trials.map(({ point }) => point.values[0])).size).toBe(2);
});

test("failed and broken trials count as low, no more", () => {
  const scores = evened([1, 2, 3, -1e9, Number.NEGATIVE_INFINITY]);
  expect(scores[3]!).toBe(scores[4]!);
  expect(scores[2]! - scores[0]!).toBeGreaterThan(0.3);
  expect(scores.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 12);
  expect(evened([2, 2])).toEqual([0, 0]);
  expect(evened([1, 0, 1])[1]!).toBeCloseTo(-Math.SQRT2, 12);
  expect(evened([Number.NEGATIVE_INFINITY])).toEqual([0]);
});

test("draws as many points before the first fit as it is told", async () => {
  const setup = { space: unitSpace(2), budget: 6, values: { initial: 6 } };
  const f = ([x]: GeneValues) => [x as number];
  const one = await searchOf(method, f, setup);
  const other = await searchOf(method, ([x]) => [-(x as number)], setup);
  expect(one.trials.map(({ point }) => point)).toEqual(other.trials.map(({ point }) => point));
});
