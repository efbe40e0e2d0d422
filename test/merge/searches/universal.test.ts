import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { method } from "../../../src/merge/searches/universal.ts";
import type { RealGene, Space } from "../../../src/run/searching/space.ts";
import { bestConstantMixture, mixtureAfter } from "../../../src/run/universal-mixture.ts";
import { searchOf } from "../../support/search.ts";

const weight = (name: string, weightOf: number, high = 1): RealGene => ({
  ...{ kind: "real", name, low: 0, high, default: 0.5, weightOf },
});
const SPACE: Space = [
  weight("weight.a", 0),
  { kind: "real", name: "lambda", low: 0, high: 2, default: 1 },
  weight("weight.b.0", 1),
  weight("weight.b.1", 1),
];

/** Model a is better at two tokens of three. */
const random = new Random("universal");
const tokenLosses = [2, 1].map((turn) =>
  Float64Array.from({ length: 150 }, (_, t) => (t % 3 === turn ? 3 : 0.5) + 0.1 * random.uniform()),
);
tokenLosses[1] = tokenLosses[1]!.map((loss, t) => (t % 3 === 0 ? 3 : loss));
const setup = { space: SPACE, models: 2, tokenLosses, seed: 0 };

test("tries the universal weights, then the best mixture's, the Bayes mixture's and equal ones", async () => {
  const { trials, notes } = await searchOf(method, () => [0], { ...setup, budget: 9 });
  const points = trials.map(({ point }) => point.values as number[]);
  const universal = mixtureAfter(tokenLosses).weights;
  const best = bestConstantMixture(tokenLosses);
  expect(points.map(([a]) => a!)).toEqual([universal[0]!, best[0]!, expect.closeTo(1, 6), 0.5]);
  expect(universal[0]!).toBeGreaterThan(0.55);
  expect(notes[0]!.weights).toEqual([...universal]);
  expect(notes[0]!.effective_mixtures as number).toBeGreaterThan(20);
});

test("a model has one weight in all layers, and what is no weight its default", async () => {
  const { trials } = await searchOf(method, () => [0], { ...setup, budget: 1 });
  const [a, lambda, b0, b1] = trials[0]!.point.values as number[];
  expect(trials.length).toBe(1);
  expect([a! + b0!, lambda!, b1!]).toEqual([expect.closeTo(1, 9), 1, b0!]);
});

test("the discount and the number of mixtures are as given", async () => {
  const values = { mixtures: 8, discount: 0.5 };
  const { trials } = await searchOf(method, () => [0], { ...setup, budget: 1, values });
  const { weights } = mixtureAfter(tokenLosses, { kind: "universal", samples: 8, discount: 0.5, seed: 0 });
  expect(trials[0]!.point.values[0]!).toBe(weights[0]!);
});

test("refuses a space without weights", () => {
  expect(searchOf(method, () => [0], { ...setup, space: SPACE.slice(1, 2), budget: 1 })).rejects.toThrow(
    "universal finds weights of models, and none varies",
  );
});
