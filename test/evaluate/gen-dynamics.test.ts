/** The course of a linear student's test error: the integral against descent on drawn samples, and its limits. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { bestStop, frozenShare, simulate, stopOf, testError } from "../../src/evaluate/gen-dynamics.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const WORLD = { ratio: 0.7, teacher: 1, noise: 0.2, start: 0.3 };

test("the integral is what 8 draws of 200 inputs give, within 5 %", () => {
  const times = [0.3, 1, 3, 8];
  const measured = simulate(WORLD, times, { inputs: 200, draws: 8, seed: 1 });
  for (const [i, time] of times.entries())
    expect(Math.abs(measured[i]! / testError(WORLD, time) - 1)).toBeLessThan(0.05);
});

test("it begins at the variance of what is to be learnt, and a spectrum has the mass that it has", () => {
  for (const ratio of [0.3, 0.7, 1, 2.5]) {
    const world = { ...WORLD, ratio };
    expect(testError(world, 0)).toBeCloseTo(WORLD.teacher + WORLD.start + WORLD.noise, 4);
    // Without noise the end is what is frozen.
    expect(testError({ ...world, noise: 0 }, 1e9)).toBeCloseTo(frozenShare(world) * 1.3, 2);
  }
});

test("the end is worst where there are as many samples as inputs, and the start counts below that alone", () => {
  const end = (ratio: number, start = 0.3) => testError({ ...WORLD, ratio, start }, 1e6);
  for (const other of [0.5, 0.8, 1.25, 2]) expect(end(1)).toBeGreaterThan(3 * end(other));
  expect(end(0.5, 1) - end(0.5, 0)).toBeCloseTo(0.5, 3);
  expect(end(2, 1) - end(2, 0)).toBeCloseTo(0, 6);
});

test("a direction is best stopped where its own error is least, and all of them somewhere before the end", () => {
  const eigenvalue = 0.4;
  const own = (t: number) =>
    (WORLD.teacher + WORLD.start) * Math.exp(-2 * eigenvalue * t) +
    (WORLD.noise / eigenvalue) * (1 - Math.exp(-eigenvalue * t)) ** 2;
  const stop = stopOf(WORLD, eigenvalue);
  for (const away of [0.9, 1.1]) expect(own(stop)).toBeLessThan(own(stop * away));
  const best = bestStop({ ...WORLD, ratio: 1 }, 100);
  expect(best.error).toBeLessThan(0.7 * testError({ ...WORLD, ratio: 1 }, 100));
});

test("the command says both, advises, and writes curves", async () => {
  const run = (line: string) => runScript("evaluate", `gen-dynamics ${line}`.split(" "), process.cwd());
  const { text, code } = await run("--ratio 1 --inputs 40 --draws 3 --times 1,4 --json -q");
  expect(code).toBe(0);
  const found = JSON.parse(text);
  expect(found.rows.map(({ time }: { time: number }) => time)).toEqual([1, 4]);
  expect(found.advice[0]).toStartWith("stop at about");
  const dull = await run("--ratio 0.5 --start 1 --noise 0 --draws 0 --json -q");
  expect(JSON.parse(dull.text).advice).toEqual([
    "training on costs nothing here",
    "begin with smaller weights: 50 % of directions keep what they begin with",
  ]);
  const refused = await run("--times 2,1");
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("--times 2,1: they rise, from above 0")]);
});
