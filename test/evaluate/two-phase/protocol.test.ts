import { expect, test } from "bun:test";
import { type Scored, twoPhases, uneven } from "../../../src/evaluate/two-phase/protocol.ts";

const run = (method: string, lr: number, seed: number, value: number, stream = "tuned"): Scored => ({
  value,
  run: { file: "run.log", method, configuration: { lr, steps: 5 }, seed, stream, metrics: {}, seconds: 10 },
});

const TUNE = [
  run("a", 0.1, 1, 0.9),
  run("a", 0.1, 2, 0.7),
  run("a", 0.2, 1, 0.6),
  run("a", 0.2, 2, 0.6),
  run("b", 0.1, 1, 0.7),
  run("b", 0.1, 2, 0.7),
];
const REPORT = [
  run("a", 0.1, 1, 0.4, "other"),
  run("a", 0.1, 2, 0.6, "other"),
  run("a", 0.2, 1, 0.99, "other"),
  run("b", 0.1, 1, 0.7, "other"),
];

test("the choice is by the first stream, the figure from the second, and ranks may change", () => {
  const [a, b] = twoPhases(TUNE, REPORT, "higher");
  expect(a).toEqual({
    method: "a",
    chosen: { lr: 0.1 },
    configurations: 2,
    tuned: { mean: 0.8, runs: 4, seconds: 40, rank: 1 },
    reported: { mean: 0.5, sd: expect.closeTo(Math.sqrt(0.02), 12), runs: 2, seconds: 20, rank: 2 },
    ignored: 1,
  });
  expect(b).toEqual({
    method: "b",
    chosen: {},
    configurations: 1,
    tuned: { mean: 0.7, runs: 2, seconds: 20, rank: 2 },
    reported: { mean: 0.7, runs: 1, seconds: 10, rank: 1 },
    ignored: 0,
  });
});

test("with one stream for both it is the usual number", () => {
  const [a] = twoPhases(TUNE, TUNE, "higher");
  expect(a!.reported!.mean).toBe(a!.tuned.mean);
});

test("of losses the lowest is chosen, and has rank 1", () => {
  const [a, b] = twoPhases(TUNE, REPORT, "lower");
  expect([a!.chosen, a!.tuned.mean, a!.tuned.rank, b!.tuned.rank]).toEqual([{ lr: 0.2 }, 0.6, 1, 2]);
});

test("what was chosen and not run elsewhere has no figure", () => {
  const [a] = twoPhases(TUNE, [run("a", 0.2, 1, 0.99, "other")], "higher");
  expect(a).not.toContainKey("reported");
  expect(a!.ignored).toBe(1);
});

test("configurations of other seeds do not compare", () => {
  expect(uneven(TUNE)).toEqual([]);
  expect(uneven(TUNE.slice(1))).toEqual(["a"]);
});
