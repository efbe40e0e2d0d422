import { expect, test } from "bun:test";
import {
  bestChunks,
  type Cost,
  fitCost,
  median,
  pipelined,
  secondsOf,
  worstMiss,
} from "../../src/evaluate/moe-cost/cost.ts";
import { runScript } from "../support/command.ts";

const SIZES = [32, 64, 128, 256, 512];
const at = (cost: Cost, off = (_: number) => 0) => SIZES.map((n, i) => ({ n, seconds: secondsOf(cost, n) + off(i) }));

test("the line of least squares is found, and never falls or begins below 0", () => {
  const cost = { start: 3e-4, each: 2e-6 };
  const found = fitCost(at(cost));
  expect(found.start).toBeCloseTo(cost.start, 12);
  expect(found.each).toBeCloseTo(cost.each, 14);
  expect(worstMiss(found, at(cost))).toBeLessThan(1e-9);
  // no other line is nearer to times that are off
  const off = at(cost, (i) => 1e-5 * [1, -2, 2, 0, -1][i]!);
  const fitted = fitCost(off);
  const squares = (line: Cost) => off.reduce((sum, { n, seconds }) => sum + (secondsOf(line, n) - seconds) ** 2, 0);
  for (const by of [-1e-2, 1e-2]) {
    expect(squares({ ...fitted, start: fitted.start * (1 + by) })).toBeGreaterThan(squares(fitted));
    expect(squares({ ...fitted, each: fitted.each * (1 + by) })).toBeGreaterThan(squares(fitted));
  }
  const below = fitCost(at({ start: -1e-5, each: 2e-6 }));
  expect(below.start).toBe(0);
  expect(below.each).toBeLessThan(2e-6);
  const falls = fitCost(at({ start: 1e-2, each: -1e-6 }));
  expect(falls.each).toBe(0);
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

/** When the last chunk leaves the last stage, one chunk after the other. */
function played(stages: readonly Cost[], n: number, chunks: number): number {
  const free = stages.map(() => 0);
  let now = 0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    now = 0;
    for (const [s, stage] of stages.entries()) {
      now = Math.max(now, free[s]!) + secondsOf(stage, n / chunks);
      free[s] = now;
    }
  }
  return now;
}

test("a pipeline takes as long as when its chunks are played through, and the best number of them is chosen", () => {
  const stages = [
    { start: 1e-4, each: 1e-6 },
    { start: 2e-4, each: 3e-6 },
    { start: 1e-4, each: 2e-6 },
  ];
  for (const n of [64, 1000, 20_000])
    for (const chunks of [1, 2, 4, 8]) expect(pipelined(stages, n, chunks)).toBeCloseTo(played(stages, n, chunks), 12);
  expect([64, 1000, 20_000].map((n) => bestChunks(stages, n, [1, 2, 4, 8]))).toEqual([1, 4, 8]);
  expect(bestChunks(stages.slice(0, 1), 20_000, [1, 2, 4, 8])).toBe(1);
});

test("the script times this device, and refuses sizes that give no line", async () => {
  const run = (line: string) => runScript("evaluate", `moe-cost ${line}`.split(" "), process.cwd());
  const found = await run(
    "--width 16 --hidden 16 --experts 3 --sizes 4,8,16 --repeats 2 --tokens 64 --chunks 1,2 --json",
  );
  const { stages, plans, best } = JSON.parse(found.text);
  expect(stages.map(({ stage }: { stage: string }) => stage)).toEqual(["transfer", "experts"]);
  for (const { times, start, each } of stages) {
    expect(times.map(({ n }: { n: number }) => n)).toEqual([4, 8, 16]);
    expect({ start, each }).toEqual(fitCost(times));
  }
  expect(plans.map(({ chunks }: { chunks: number }) => chunks)).toEqual([1, 2]);
  expect(best).toBe(bestChunks(stages, 64, [1, 2]));
  for (const [line, message] of [
    ["--sizes 8", "two or more"],
    ["--sizes 8,4", "rising"],
    ["--top-k 9", "more than 8 experts"],
    ["--chunks 0,2", "--chunks 0,2"],
  ] as const) {
    const refused = await run(line);
    expect(refused.err).toContain(message);
    expect(refused.code).toBe(2);
  }
});
