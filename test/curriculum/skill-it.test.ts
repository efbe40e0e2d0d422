/** Skill-it against its formula. */
import { expect, test } from "bun:test";
import { method as skillIt, skillShares } from "../../src/curriculum/methods/samplers/skill-it.ts";
import { drive, type Given, groupsOf, make, saturatingWorld } from "./world.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));
const THIRDS = close([1 / 3, 1 / 3, 1 / 3]);
const IDENTITY = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

const skills = ({ graph, ...given }: Given & { graph: number[][] }, losses = [1, 2, 0.5]) => {
  const values = { graph: JSON.stringify(graph), round: 100, every: 50, ...given.values };
  const sampler = make(skillIt, { steps: 600, ...given, values });
  const world = saturatingWorld([0, 0, 0], losses, [0, 0, 0]); // losses that stay
  return { sampler, heard: drive(sampler, world, 600).map(({ segment }) => segment) };
};

test("skill-it: follows its formula with the window across rounds", () => {
  const graph = [
    [1, 0.5, 0],
    [0, 1, 0],
    [0.2, 0, 1],
  ];
  const { heard } = skills({ graph });
  const share = (scores: number[]) => {
    const raised = graph.map((row) => Math.exp(0.5 * row.reduce((sum, edge, j) => sum + edge * scores[j]!, 0)));
    return close(raised.map((value) => value / raised.reduce((a, b) => a + b, 0)));
  };
  expect(heard.length).toBe(12);
  expect(heard.every(({ steps }) => steps === 50)).toBe(true);
  expect(heard[0]!.probs).toEqual(share([1, 1, 1]));
  expect(heard[1]!.probs).toEqual(heard[0]!.probs); // an evaluation within the round
  expect(heard[2]!.probs).toEqual(share([2, 4, 1])); // two evaluations so far
  expect(heard[4]!.probs).toEqual(share([3, 6, 1.5])); // the last three of four
});

test("skill-it: graphs that say nothing give the uniform mixture", () => {
  const zero = IDENTITY.map((row) => row.map(() => 0));
  const ones = IDENTITY.map((row) => row.map(() => 1));
  for (const graph of [zero, ones]) {
    const { sampler, heard } = skills({ graph });
    for (const { probs } of heard) expect(probs).toEqual(THIRDS);
    expect(sampler.notes!().warning).toContain("graph");
  }
  const { sampler, heard } = skills({ graph: [[1, 0.5, 0], ...IDENTITY.slice(1)], values: { eta: 0 } });
  for (const { probs } of heard) expect(probs).toEqual(THIRDS);
  expect(sampler.notes!().warning).toBeUndefined();
});

test("skill-it: a constant more in every row changes nothing, and the identity heeds a skill's own loss", () => {
  const graph = [
    [1, 0.5, 0],
    [0, 1, 0.3],
    [0.2, 0, 1],
  ];
  const scores = [1, 2, 0.5];
  const more = graph.map((row) => row.map((edge, j) => edge + [0.4, 2, 1][j]!));
  expect(skillShares(more, scores, 0.5)).toEqual(close(skillShares(graph, scores, 0.5)));
  const own = skillShares(IDENTITY, scores, 0.5);
  expect(own[1]! / own[2]!).toBeCloseTo(Math.exp(0.5 * 1.5), 9);
});

test("skill-it: targets, normalised losses, isolated skills, halved edges", () => {
  const graph = [
    [1, 0.5, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  // Only column b counts, by the mean of the window: exp(0.5 * (0.5, 1, 0) * 2).
  const raised = [Math.exp(0.5), Math.exp(1), 1];
  const sum = raised.reduce((a, b) => a + b, 0);
  const targeted = skills({ graph, values: { targets: ["b"] } }).heard.at(-1)!.probs;
  expect(targeted).toEqual(close(raised.map((value) => value / sum)));

  // Losses that stay, over those of the start, are all 1, summed over three evaluations.
  const normalised = skills({ graph, values: { normalize_loss: true } }).heard;
  expect(normalised[0]!.steps).toBe(0);
  expect(normalised.at(-1)!.probs).toEqual(close(skillShares(graph, [3, 3, 3], 0.5)));

  const isolated = skills({ graph, values: { ignore_isolated: true } }).heard.at(-1)!.probs;
  expect(isolated[2]).toBeCloseTo(1 / 3, 12);
  const [a, b] = skillShares(graph, [3, 6, 1.5], 0.5);
  expect(isolated[0]! / isolated[1]!).toBeCloseTo(a! / b!, 9);
  expect(skillShares(IDENTITY, [1, 2, 3], 1, true)).toEqual(THIRDS);

  const halved = skills({ graph, values: { halve_edges: true } }).heard;
  expect(halved[2]!.probs).toEqual(close(skillShares(graph, [2, 4, 1], 0.5)));
  const quarter = [[1, 0.125, 0], ...graph.slice(1)];
  expect(halved[6]!.probs).toEqual(close(skillShares(quarter, [3, 6, 1.5], 0.5)));
});

test("skill-it: in a chain of skills the prerequisite of what is not learnt gets the most", () => {
  const chain = [
    [1, 0.8, 0.6],
    [0, 1, 0.8],
    [0, 0, 1],
  ];
  const { heard } = skills({ graph: chain }, [0.1, 2, 2]);
  const last = heard.at(-1)!.probs;
  expect(last[0]).toBeGreaterThan(last[2]!);
});

test("skill-it: refuses graphs that do not fit", () => {
  expect(() => make(skillIt)).toThrow("--method skill-it needs --graph");
  expect(() => make(skillIt, { values: { graph: JSON.stringify([[1]]) } })).toThrow(
    "--graph is 1 x 1 but there are 3 groups",
  );
  expect(() => make(skillIt, { values: { graph: JSON.stringify([[1, -1, 0], ...IDENTITY.slice(1)]) } })).toThrow(
    "an edge is -1",
  );
  expect(() => make(skillIt, { values: { graph: JSON.stringify(IDENTITY), targets: ["A"] } })).toThrow(
    "--targets: there is no group A",
  );
  expect(() => make(skillIt, { values: { graph: JSON.stringify([[1]]) }, groups: groupsOf({ a: 1 }) })).toThrow(
    "at least two groups",
  );
});
