import { expect, test } from "bun:test";
import { method as grid } from "../../../src/merge/searches/grid.ts";
import { method } from "../../../src/merge/searches/nsga.ts";
import { method as random } from "../../../src/merge/searches/random.ts";
import { dominates, hypervolume } from "../../../src/run/searching/pareto.ts";
import type { GeneValues } from "../../../src/run/searching/space.ts";
import { searchOf, unitSpace } from "../../support/search.ts";

const numbers = (values: GeneValues) => values.map((x) => x as number);
/** Two losses that want the first gene at 0 and at 1; the rest must be 0.25 for both. */
const twoTasks = (values: GeneValues) => {
  const [x, ...rest] = numbers(values);
  const off = rest.reduce((sum, y) => sum + (y - 0.25) ** 2, 0);
  return [-(x! ** 2 + off), -((x! - 1) ** 2 + off)];
};
const setup = { space: unitSpace(4), budget: 400, objectives: ["a", "b"] };

test("the hypervolume never falls from one generation to the next, and no recipe is tried twice", async () => {
  const { trials, notes } = await searchOf(method, twoTasks, setup);
  const volumes = notes.map((note) => note.hypervolume as number);
  expect(volumes.length).toBe(20);
  for (const [at, volume] of volumes.entries()) expect(volume >= (volumes[at - 1] ?? 0)).toBe(true);
  expect(volumes.at(-1)!).toBeGreaterThan(volumes[0]!);
  expect(new Set(trials.map(({ point }) => JSON.stringify(point.values))).size).toBe(trials.length);
});

test("covers more than random points of the same number", async () => {
  const volume = async (of: Parameters<typeof searchOf>[0]) => {
    const { trials } = await searchOf(of, twoTasks, setup);
    const points = trials.map(({ scores }) => scores.map((score) => -score)).filter((p) => p.every((x) => x < 1.2));
    return hypervolume(points, [1.2, 1.2]);
  };
  expect(await volume(method)).toBeGreaterThan(await volume(random));
});

test("the first generation holds the defaults and recipes at one place of every range", async () => {
  const { trials } = await searchOf(method, twoTasks, { ...setup, budget: 20 });
  const points = trials.map(({ point }) => numbers(point.values));
  expect(points[0]).toEqual([0.5, 0.5, 0.5, 0.5]);
  // 0.5 everywhere was tried: a random recipe stands in its place.
  for (const [at, place] of [0.1, 0.3, undefined, 0.7, 0.9].entries())
    if (place !== undefined) expect(new Set(points[at + 1])).toEqual(new Set([place]));
  expect(new Set(points[3]).size).toBe(4);
});

test("without mutation children hold genes of their parents alone", async () => {
  const values = { population: 8, mutation: 0 };
  const { trials } = await searchOf(method, twoTasks, { ...setup, budget: 16, values });
  const first = trials.slice(0, 8).map(({ point }) => numbers(point.values));
  const strange = trials
    .slice(8)
    .filter(({ point }) => numbers(point.values).some((x, gene) => !first.some((parent) => parent[gene] === x)));
  // A child that is its parent's copy is drawn again with a new gene: few are.
  expect(strange.length).toBeLessThan(4);
});

test("the second stage moves only the genes of --repair, from the best recipe of the first", async () => {
  const values = { population: 10, repair: ["x3"], repair_share: 0.25 };
  const { trials, notes } = await searchOf(method, twoTasks, { ...setup, budget: 80, values });
  const points = trials.map(({ point }) => numbers(point.values));
  expect(new Set(points.slice(0, 60).map((p) => p[3]))).toEqual(new Set([0.5]));
  const second = points.slice(60);
  expect(new Set(second.map((p) => JSON.stringify(p.slice(0, 3)))).size).toBe(1);
  expect(points.slice(0, 60).map((p) => JSON.stringify(p.slice(0, 3)))).toContain(
    JSON.stringify(second[0]!.slice(0, 3)),
  );
  expect(new Set(second.map((p) => p[3])).size).toBe(20);
  expect(notes.map(({ stage }) => stage)).toEqual([...Array(6).fill("search"), ...Array(2).fill("repair")]);
});

test("a space whose points are all tried ends the search", async () => {
  const space = [{ kind: "choice", name: "sign", choices: ["a", "b", "c"], default: "b" }] as const;
  const { trials } = await searchOf(method, () => [1, 2], { ...setup, space });
  expect(trials.length).toBe(3);
});

test("refuses a repair of what does not vary, or of all", async () => {
  const repair = (names: string[]) => searchOf(method, twoTasks, { ...setup, values: { repair: names } });
  expect(repair(["lambda"])).rejects.toThrow("--repair: lambda does not vary");
  expect(repair(["x0", "x1", "x2", "x3"])).rejects.toThrow("--repair names all that varies");
});

test("of two toy experts the front has a recipe that dominates the average, as an exhaustive grid has", async () => {
  // Two groups of layers; task a needs the first as expert a has it and hardly sees the second, task b the reverse.
  const losses = (values: GeneValues) => {
    const [a0, a1, b0, b1] = numbers(values);
    const [first, second] = [a0! - b0!, b1! - a1!]; // experts are 1 and -1 in the first group, -1 and 1 in the second
    return [(first - 1) ** 2 + 0.1 * (second + 1) ** 2, (second - 1) ** 2 + 0.1 * (first + 1) ** 2];
  };
  const average = losses([0.5, 0.5, 0.5, 0.5]);
  const points = { space: unitSpace(4), objectives: ["a", "b"] };
  const scores = (values: GeneValues) => losses(values).map((loss) => -loss);
  for (const [of, budget] of [
    [method, 120],
    [grid, 81],
  ] as const) {
    const { trials } = await searchOf(of, scores, { ...points, budget });
    expect(trials.some(({ point }) => dominates(losses(point.values), average))).toBe(true);
  }
});
