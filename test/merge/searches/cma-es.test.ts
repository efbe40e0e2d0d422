import { expect, test } from "bun:test";
import { method } from "../../../src/merge/searches/cma-es.ts";
import { method as random } from "../../../src/merge/searches/random.ts";
import type { GeneValues } from "../../../src/run/searching/space.ts";
import { bestOf, searchOf, unitSpace } from "../../support/search.ts";

const bowl = (values: GeneValues) => [
  -values.reduce<number>((sum, x, i) => sum + ((x as number) - 0.1 - 0.1 * i) ** 2, 0),
];

test("comes closer to the best point than random points of the same number, and its mean closer still", async () => {
  const setup = { space: unitSpace(6), budget: 270 };
  const found = await searchOf(method, bowl, setup);
  expect(-bestOf(found)).toBeLessThan(1e-3);
  expect(-bestOf(found)).toBeLessThan(-bestOf(await searchOf(random, bowl, setup)) / 10);
  expect(-bowl(found.last!.values)[0]!).toBeLessThan(-bestOf(found));
});

test("begins at the defaults and tells how far its points spread", async () => {
  const { notes, trials } = await searchOf(method, bowl, { space: unitSpace(2), budget: 120 });
  expect(notes[0]).toEqual({ generation: 1, spread: expect.any(Number) });
  expect(notes.at(-1)!.spread).toBeLessThan(0.05);
  const first = trials.slice(0, 6).map(({ point }) => point.values[0] as number);
  expect(first.reduce((a, b) => a + b, 0) / 6).toBeCloseTo(0.5, 0);
});

test("the population and the first step are as given", async () => {
  const values = { population: 12, sigma: 0.01 };
  const { trials, notes } = await searchOf(method, bowl, { space: unitSpace(2), budget: 24, values });
  expect(notes.length).toBe(2);
  for (const { point } of trials.slice(0, 12)) expect(Math.abs((point.values[0] as number) - 0.5)).toBeLessThan(0.05);
});

test("a search that heard no whole generation has no mean to try", async () => {
  expect((await searchOf(method, bowl, { space: unitSpace(2), budget: 0 })).last).toBeUndefined();
});
