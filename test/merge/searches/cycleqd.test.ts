/** CycleQD over three tasks on a plane of task vectors; the whole of it with models is a test of the command. */
import { expect, test } from "bun:test";
import { method } from "../../../src/merge/searches/cycleqd.ts";
import type { Point } from "../../../src/run/searching/contract.ts";
import type { RealGene, Space } from "../../../src/run/searching/space.ts";
import { type Searched, searchOf } from "../../support/search.ts";

const SPACE: Space = Array.from(
  { length: 3 },
  (_, k): RealGene => ({
    ...{ kind: "real", name: `weight.${k}`, low: 0, high: 1, default: 1 / 3, weightOf: k },
  }),
);
const OBJECTIVES = ["one", "two", "three"];

const weightsOf = ({ values }: Point) => values.map((x) => x as number);

/** Total size of the mutations of each model. */
function stretchOf({ extra }: Point): number[] {
  const sums = [0, 0, 0];
  for (const part of String(extra?.mutations ?? "")
    .split(",")
    .filter(Boolean)) {
    const [model, , size] = part.split(":").map(Number);
    sums[model! - 1]! += size!;
  }
  return sums;
}

/** Task q is best served by weight 0.7 for its expert and a stretch of 0.15 of it; other experts disturb a little. */
const scores = (_: unknown, point: Point): number[] => {
  const [weights, stretch] = [weightsOf(point), stretchOf(point)];
  return weights.map((w, q) => {
    const rest = weights.reduce((sum, x, k) => sum + (k === q ? 0 : x), 0);
    return 1 - (w * (1 + stretch[q]!) - 0.7) ** 2 - 0.05 * rest;
  });
};

const run = (values: Record<string, unknown> = {}, budget = 153): Promise<Searched> =>
  searchOf(method, scores, { space: SPACE, budget, objectives: OBJECTIVES, models: 3, values });

test("begins with the experts, and then tries one child after the other", async () => {
  const { trials, notes } = await run({}, 6);
  expect(trials.slice(0, 3).map(({ point }) => point)).toEqual([
    { values: [1, 0, 0] },
    { values: [0, 1, 0] },
    { values: [0, 0, 1] },
  ]);
  expect(notes.length).toBe(4);
});

test("no cell's quality ever falls and coverage only grows", async () => {
  const { notes } = await run();
  for (const [at, note] of notes.entries()) {
    const before = notes[at - 1];
    if (!before) continue;
    for (const key of ["coverage", "quality"])
      for (const [q, value] of (note[key] as number[]).entries())
        expect(value >= (before[key] as number[])[q]!).toBe(true);
  }
  const [first, last] = [notes[0]!.coverage as number[], notes.at(-1)!.coverage as number[]];
  for (const [q, filled] of last.entries()) expect(filled).toBeGreaterThan(first[q]!);
});

test("without mutation and spread a child is the exact middle of its parents", async () => {
  const { trials } = await run({ rate: 0, crossover: 0 }, 4);
  const child = weightsOf(trials[3]!.point);
  expect(trials[3]!.point.extra).toBeUndefined();
  expect(child.toSorted()).toEqual([0, 0.5, 0.5]);
});

test("tasks take turns: a child is stretched along the model of its turn, and parents' stretches are halved", async () => {
  const { trials } = await run({ crossover: 0 }, 60);
  const children = trials.slice(3).map(({ point }) => point);
  const listOf = ({ extra }: Point) => String(extra!.mutations).split(",");
  for (const [turn, child] of children.entries()) {
    const own = listOf(child).filter((part) => part.startsWith(`${(turn % 3) + 1}:`) && part.endsWith(":0.1"));
    expect(own.length).toBeGreaterThanOrEqual(1);
    expect(weightsOf(child).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  }
  expect(children.some((child) => listOf(child).some((part) => part.endsWith(":0.05")))).toBe(true);
});

test("the aggregate weighs the best elite of every task by a softmax over their quality", async () => {
  const { trials, last } = await run({}, 30);
  const best = OBJECTIVES.map((_, q) => trials.reduce((a, b) => (b.scores[q]! > a.scores[q]! ? b : a)));
  const shares = best.map(({ scores: [...own] }, q) => Math.exp(own[q]!));
  const sum = shares.reduce((a, b) => a + b, 0);
  const want = [0, 1, 2].map((k) => best.reduce((w, { point }, q) => w + (shares[q]! / sum) * weightsOf(point)[k]!, 0));
  for (const [k, weight] of weightsOf(last!).entries()) expect(weight).toBeCloseTo(want[k]!, 12);
  const stretch = [0, 1, 2].map((k) =>
    best.reduce((w, { point }, q) => w + (shares[q]! / sum) * stretchOf(point)[k]!, 0),
  );
  for (const [k, size] of stretchOf(last!).entries()) expect(size).toBeCloseTo(stretch[k]!, 12);
});

test("the elites of 150 generations are better than the experts at every task", async () => {
  const { notes } = await run();
  const expert = 1 - 0.3 ** 2;
  for (const quality of notes.at(-1)!.quality as number[]) expect(quality).toBeGreaterThan(expert + 0.03);
});

test("the archive holds a tried point for every cell", async () => {
  const { trials, notes, archive } = await run({}, 40);
  const tried = new Set(trials.map(({ point }) => JSON.stringify(point)));
  for (const { point } of archive) expect(tried.has(JSON.stringify(point))).toBe(true);
  const [one, two, three] = notes.at(-1)!.coverage as number[];
  expect(archive.length).toBe(one! + two! + three!);
  for (const { name } of archive) expect(name).toMatch(/^(one|two|three)\/\d+-\d+$/);
  expect(new Set(archive.map(({ name }) => name)).size).toBe(archive.length);
});

test("bins are as many as given", async () => {
  const { notes } = await run({ bins: 1 });
  expect(notes.at(-1)!.coverage).toEqual([1, 1, 1]);
});

test("refuses a space in which a model has no weight", () => {
  expect(
    searchOf(method, scores, { space: SPACE.slice(0, 2), budget: 4, objectives: OBJECTIVES, models: 3 }),
  ).rejects.toThrow("cycleqd mixes models by their weights, and that of model 3 does not vary");
});
