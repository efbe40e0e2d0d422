import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { scaleOf } from "../../../src/merge/search/even-scores.ts";
import {
  candidatesOf,
  historyOf,
  metaTrain,
  smoothFunction,
  type Trained,
} from "../../../src/merge/search/meta-training.ts";
import { NeuralProcess } from "../../../src/merge/search/neural-process.ts";
import { method as bo } from "../../../src/merge/searches/bo.ts";
import { method, searcherOf } from "../../../src/merge/searches/nap.ts";
import { method as random } from "../../../src/merge/searches/random.ts";
import type { GeneValues, Space } from "../../../src/run/searching/space.ts";
import { bestOf, type Searched, searchOf, unitSpace } from "../../support/search.ts";

/** With INGOT_TEST_LONG=1 what takes half a minute runs too. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const SPACE = unitSpace(1);
const FUNCTIONS = 40;
const BUDGET = 15;

/** Sums of four waves: smooth functions of another family than those of the training. */
function waves(seed: number): (x: number) => number {
  const draw = new Random("waves of nap", seed);
  const parts = Array.from(
    { length: 4 },
    (_, k) => [draw.normal() / (k + 1), 2 + 3 * k, 6.3 * draw.uniform()] as const,
  );
  return (x) => parts.reduce((sum, [size, turns, phase]) => sum + size * Math.sin(turns * x + phase), 0);
}

/** Functions that no training has seen, half of them of its family, with their maxima. */
const functions = Array.from({ length: FUNCTIONS }, (_, seed) => {
  const smooth = smoothFunction(new Random("held out", seed), 1);
  const f = seed % 2 === 0 ? (x: number) => smooth([x]) : waves(seed);
  return { seed, f, top: Math.max(...Array.from({ length: 4001 }, (_, i) => f(i / 4000))) };
});
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean simple regret of a trained network. */
async function regretOf(trained: Trained): Promise<number> {
  const searching = { ...method, make: learnt(trained) };
  return mean(await regrets((f, seed) => searchOf(searching, f, { space: SPACE, budget: BUDGET, seed })));
}

const learnt =
  (trained: Trained) =>
  ({ space, budget, seed }: { space: Space; budget: number; seed: number }) =>
    searcherOf({ space, budget, seed, initial: 3, candidates: 150 }, () => trained);

type Search = (f: (values: GeneValues) => readonly number[], seed: number) => Promise<Searched>;

const regrets = (search: Search, count = FUNCTIONS): Promise<number[]> =>
  Promise.all(
    functions
      .slice(0, count)
      .map(async ({ f, top, seed }) => top - bestOf(await search(([x]) => [f(x as number)], seed))),
  );

const training = { space: SPACE, budget: BUDGET, initial: 3, steps: 200, lambda: 1, seed: 1 };

test.if(LONG)(
  "regret after 15 trials on unseen functions is a twentieth of that of random points, near that of bo",
  async () => {
    const setup = { space: SPACE, budget: BUDGET, values: { candidates: 60 } };
    const own = await regretOf(metaTrain(training));
    const other = mean(await regrets((f, seed) => searchOf(random, f, { space: SPACE, budget: BUDGET, seed })));
    const fitted = mean(await regrets((f, seed) => searchOf(bo, f, { ...setup, seed }), 8));
    expect(other).toBeGreaterThan(0.03);
    expect(own).toBeLessThan(other / 20);
    // Of what bo gains over random points, nap gains nearly all.
    expect(other - own).toBeGreaterThan(0.95 * (other - fitted));
  },
  120_000,
);

/** Mean -log p of values of the functions, given six others of each; without the constant. */
function surpriseOf({ network, theta }: Trained): number {
  const draw = new Random("surprise");
  return mean(
    functions.map(({ f }) => {
      const [past, queries] = [6, 20].map((count) => Array.from({ length: count }, () => draw.uniform()));
      const scores = past!.map(f);
      const history = historyOf(
        past!.map((x) => [x]),
        scores,
        0.5,
      );
      const pass = network.forward(theta, history, Float64Array.from(queries!));
      const scale = scaleOf(scores);
      return mean(
        queries!.map(
          (x, q) => pass.logStd[q]! + 0.5 * ((scale(f(x)) - pass.mean[q]!) * Math.exp(-pass.logStd[q]!)) ** 2,
        ),
      );
    }),
  );
}

test("without -log p of the scores in training the network foretells them worse", () => {
  const few = { ...training, steps: 40 };
  const [withIt, without] = [surpriseOf(metaTrain(few)), surpriseOf(metaTrain({ ...few, lambda: 0 }))];
  expect(withIt).toBeLessThan(without - 0.5);
}, 120_000);

test("an untrained network is far from a trained one", async () => {
  const network = new NeuralProcess(1);
  const fresh = await regretOf({ network, theta: network.fresh(new Random(1, "nap", "network")) });
  expect(fresh).toBeGreaterThan(0.03);
});

test("training is the same again, of another seed another", () => {
  const few = { ...training, steps: 3 };
  expect(metaTrain(few).theta).toEqual(metaTrain(few).theta);
  expect(metaTrain({ ...few, seed: 2 }).theta).not.toEqual(metaTrain(few).theta);
});

test("asks for the same points when it is told the same scores again", async () => {
  const setup = { space: unitSpace(3), budget: 8, values: { training_steps: 3, candidates: 50 } };
  const f = ([x, y]: GeneValues) => [-(((x as number) - 0.3) ** 2) + (y as number)];
  const [one, other] = [await searchOf(method, f, setup), await searchOf(method, f, setup)];
  expect(one.trials).toEqual(other.trials);
  expect(new Set(one.trials.map(({ point }) => JSON.stringify(point.values))).size).toBe(8);
});

test("takes choices and whole numbers, failed trials and a space that is tried to its end", async () => {
  const space = [
    { kind: "integer", name: "rank", low: 1, high: 2, default: 1 },
    { kind: "choice", name: "sign", choices: ["sum", "none"], default: "none" },
  ] as const;
  const f = ([rank, sign]: GeneValues) => [sign === "none" ? Number.NEGATIVE_INFINITY : (rank as number)];
  const found = await searchOf(method, f, { space, budget: 6, values: { training_steps: 3, candidates: 60 } });
  expect(found.trials.length).toBe(6);
  expect(new Set(found.trials.slice(1).map(({ point }) => JSON.stringify(point.values))).size).toBeGreaterThanOrEqual(
    3,
  );
  expect(bestOf(found)).toBe(2);
});

test("says how long it trained", async () => {
  const lines: string[] = [];
  const noted = (line: string) => void lines.push(line);
  await searchOf(method, ([x]) => [x as number], {
    space: SPACE,
    budget: 5,
    values: { training_steps: 2 },
    note: noted,
  });
  expect(lines.length).toBe(1);
  expect(lines[0]!).toContain("2 steps in");
});

test("half of the candidates lie near the best", () => {
  const places = candidatesOf(new Random("c"), 2, [0.5, 0.5], 400);
  const near = (which: number) => places.filter((p, c) => c % 2 === which && Math.abs(p[0]! - 0.5) < 0.1).length;
  expect(near(1)).toBeGreaterThan(2 * near(0));
  for (const place of places.flat()) expect(place >= 0 && place <= 1).toBe(true);
});
