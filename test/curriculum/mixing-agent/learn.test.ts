/** What a mixing agent sees, and what it learns from trainings that are formulas. */
import { expect, test } from "bun:test";
import { agentJson, mixtureBy, readAgent } from "../../../src/curriculum/mixing-agent/agent-file.ts";
import { explored } from "../../../src/curriculum/mixing-agent/explorer.ts";
import { type Learning, learnAgent } from "../../../src/curriculum/mixing-agent/learn.ts";
import {
  featuresOf,
  returnOf,
  type Trajectory,
  trajectoryFrom,
  transitionsOf,
} from "../../../src/curriculum/mixing-agent/trajectories.ts";
import { Random } from "../../../src/data/random.ts";

const shape = { groups: ["old", "new"], isTarget: [false, true], natural: [0.5, 0.5], start: [2, 4], steps: 5 };
const given: Learning = {
  ...{ history: 2, hidden: 8, weights: [1, 1], conservative: 1, cloning: 0, gamma: 0.9, best: 0.25, lr: 5e-3 },
  ...{ cloneSteps: 0, steps: 250, batch: 16, proposals: 4, seed: 3 },
};

/** Trainings of three rounds, of which a round gains most at a share of `best`; mixtures between `low` and `high`. */
function trainings(best: number, low: number, high: number): Trajectory[] {
  const random = new Random(1, "trainings");
  return Array.from({ length: 24 }, () => {
    let losses = [2, 4];
    const rounds = Array.from({ length: 3 }, () => {
      const share = low + random.uniform() * (high - low);
      const gain = 0.3 - (share - best) ** 2;
      losses = [losses[0]! - gain, losses[1]! - 2 * gain];
      return { probs: [share, 1 - share], losses };
    });
    return { ...shape, rounds };
  });
}

/** Share of the old group that an agent chooses at the start. */
const shareOf = (trajectories: readonly Trajectory[], more: Partial<Learning> = {}): number =>
  mixtureBy({ ...given, ...learnAgent(trajectories, { ...given, ...more }, () => {}) }, { ...shape, rounds: [] })[0]!;

test("features: shares and losses of the last rounds, the oldest first", () => {
  const round = { probs: [0.2, 0.8], losses: [3, 2] };
  expect([...featuresOf({ ...shape, rounds: [] }, 2)]).toEqual([0.5, 0.5, 0, 0, 0.5, 0, 0.5, 0.5, 0, 0, 0.5, 1]);
  const seen = [...featuresOf({ ...shape, rounds: [round] }, 2)];
  expect(seen).toEqual([0.5, 0.2, 0, 0.5, 0.5, 0, 0.5, 0.8, 0, -0.5, 0.5, 1]);
});

test("rewards are what both fields gain, over their first losses", () => {
  const rounds = [
    { probs: [0.2, 0.8], losses: [3, 2] },
    { probs: [0.5, 0.5], losses: [2, 2] },
  ];
  const trajectory = { ...shape, rounds };
  expect(transitionsOf(trajectory, 1, [1, 1]).map(({ reward }) => reward)).toEqual([0, 0.5]);
  expect(transitionsOf(trajectory, 1, [2, 0]).map(({ reward }) => reward)).toEqual([-1, 1]);
  expect(transitionsOf(trajectory, 1, [1, 1]).map(({ next }) => next === undefined)).toEqual([false, true]);
  expect(returnOf(trajectory, [1, 1])).toBeCloseTo(0.5, 12);
});

test("explored mixtures begin near the natural shares, and end at other parts of new groups", () => {
  const of = (place: number) =>
    explored({ natural: [0.6, 0.4], isTarget: [false, true], rounds: 40, seed: 0, place }).map(([, p]) => p!);
  const all = Array.from({ length: 12 }, (_, place) => of(place));
  expect(of(3)).toEqual(all[3]!);
  const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const ends = all.map((list) => mean(list.slice(-10)));
  expect(Math.max(...ends) - Math.min(...ends)).toBeGreaterThan(0.4);
  expect(mean(all.map((list) => list[0]!))).toBeCloseTo(0.4, 0);
});

test("the agent finds the mixture that gains most", () => {
  for (const best of [0.3, 0.8])
    expect(Math.abs(shareOf(trainings(best, 0, 1), { conservative: 0.2 }) - best)).toBeLessThan(0.15);
});

test("a larger conservative weight keeps it nearer to what was tried", () => {
  // Gains grow beyond the mixtures of the trainings, which lie between 0.4 and 0.5.
  const beyond = trainings(0, 0.4, 0.5);
  const away = (alpha: number) => Math.max(0, 0.4 - shareOf(beyond, { conservative: alpha }));
  const [free, held] = [away(0), away(20)];
  expect(free).toBeGreaterThan(0.1);
  expect(held).toBeLessThan(0.05);
});

test("a warm start repeats the best trainings", () => {
  const only = { cloneSteps: 200, steps: 0, best: 0.1, lr: 1e-2 };
  expect(shareOf(trainings(0.5, 0.7, 0.9), only)).toBeGreaterThan(0.68);
});

test("agents and trainings are read as they were written, and others refused", () => {
  const { policy } = learnAgent(trainings(0.3, 0, 1).slice(0, 2), { ...given, steps: 1 }, () => {});
  const agent = { history: 2, hidden: 8, policy };
  const [now, read] = [agent, readAgent(JSON.stringify(agentJson(agent)))].map((one) =>
    mixtureBy(one, { ...shape, rounds: [] }),
  );
  for (const [k, share] of now!.entries()) expect(read![k]!).toBeCloseTo(share, 7);
  expect(() => readAgent("{}")).toThrow("holds no mixing agent");
  expect(() => readAgent('{"history": 1, "hidden": 1, "encoder": [1], "head": []}')).toThrow("should have 7 weights");
  expect(() => readAgent("nowhere.json")).toThrow("--agent nowhere.json cannot be read");
  expect(() => trajectoryFrom({ groups: ["a"], target: [] }, "f:1")).toThrow("f:1: a trajectory lacks");
  const line = { groups: ["a"], target: ["a"], natural: [1], start: [2], steps: 1, rounds: [{ probs: [1] }] };
  expect(() => trajectoryFrom(line, "f:1")).toThrow("f:1: a round lacks");
});
