/**
 * `train --schedule-search es`: trains by a schedule that it found, the same again, and goes on with it when resumed.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { firstWeights, SearchedRate, searchSchedule } from "../../src/train/schedules/schedule-search.ts";
import { startScript } from "../support/command.ts";
import { GOLDEN_OPTIONS, trainLab } from "./train-lab.ts";

setDefaultTimeout(120_000);
const { at, folder, run } = trainLab();

/** With INGOT_TEST_LONG=1 a run is killed, too. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const SEARCH = {
  ...{ schedule_search: "es" as const, search_generations: 25, search_pairs: 8 },
  ...{ search_lengths: [10, 40], search_sigma: 0.1, search_lr: 0.05 },
};

test("the first schedule is the one that is there, whatever the loss does", () => {
  const rate = new SearchedRate(firstWeights(3), [20, 80]);
  for (const loss of [2, 1, 5]) {
    for (const step of [1, 7, 40]) expect(rate.multiplier(step, 40)).toBe(1);
    rate.heard({ metrics: { loss } });
  }
});

test("a search raises a rate that is too low, lowers one that is too high, and sees the loss and the time", async () => {
  // A parabola, whose best rate is 1: loss (1 - rate)^2 times what it was, step by step.
  const lifeAt = (base: number) => async (rate: SearchedRate, steps: number) => {
    let loss = 1;
    for (let step = 1; step <= steps; step++) {
      loss *= (1 - Math.min(2, base * rate.multiplier(step, steps))) ** 2;
      rate.heard({ metrics: { loss: 0.5 + loss } });
    }
    return 0.5 + loss;
  };
  for (const [base, isLow] of [
    [0.005, true],
    [1.995, false],
  ] as const) {
    const weights = firstWeights(0);
    const losses: number[] = [];
    const told = (_: number, loss: number) => void losses.push(loss);
    await searchSchedule(weights, SEARCH, { seed: 0, before: 1.5, life: lifeAt(base), told });
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.05);
    const found = new SearchedRate(weights, SEARCH.search_lengths);
    const early = found.multiplier(1, 20);
    if (isLow) expect(early).toBeGreaterThan(1.5);
    else expect(early).toBeLessThan(0.95);
    for (const loss of [2, 0.5]) found.heard({ metrics: { loss } });
    expect(found.multiplier(1, 20)).not.toBe(early);
    expect(found.multiplier(20, 20)).not.toBe(found.multiplier(1, 20));
  }
});

test("a schedule that was saved is the one that goes on, and nothing else is", () => {
  const rate = new SearchedRate(
    firstWeights(0).map((w) => w + 0.1),
    [20, 80],
  );
  for (const loss of [2, 1.5]) rate.heard({ metrics: { loss } });
  const other = new SearchedRate(firstWeights(0), [20, 80]);
  other.load(JSON.parse(JSON.stringify(rate.state())));
  expect(other.multiplier(3, 40)).toBe(rate.multiplier(3, 40));
  expect(() => other.load({ weights: [1] })).toThrow("the saved state has no searched schedule");
});

const ROWS = ["llama-tied", "--data", "llama-tied.jsonl", "--eval-data", "llama-tied-first.jsonl"];
const OPTIONS = [...ROWS, ...GOLDEN_OPTIONS];
const SHORT = [
  "--schedule-search",
  "es",
  "--search-generations",
  "1",
  "--search-pairs",
  "1",
  "--search-lengths",
  "2,3",
];

const hasStepped = (log: string) => existsSync(at(log)) && readFileSync(at(log), "utf8").includes('"event":"step"');

const rates = (log: string): number[] =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "step")
    .map(({ lr }) => lr);

test("a model is trained from its own weights by the found rates, and again so", async () => {
  const out = (name: string) => [...OPTIONS, "-q", "--log", `${name}.log`, "-o", `${name}/`];
  const weights = (name: string) => readFileSync(at(`${name}/model.safetensors`));
  expect(await run("train", [...out("one"), ...SHORT])).toMatchObject({ code: 0, err: "" });
  expect(await run("train", [...out("two"), ...SHORT])).toMatchObject({ code: 0, err: "" });
  expect(weights("one").equals(weights("two"))).toBe(true);
  expect(rates("one.log").length).toBe(3);
  for (const rate of rates("one.log")) expect(Math.abs(rate / 0.002 - 1)).toBeGreaterThan(1e-6);
  const killed = [...out("cut"), ...SHORT, "--save-every", "1", "--resume"];
  if (LONG) {
    const child = startScript("train", killed, folder);
    while (child.exitCode === null && !hasStepped("cut.log")) await Bun.sleep(2);
    child.kill(9);
    await child.exited;
    expect((await run("train", killed)).code).toBe(0);
    expect(weights("cut").equals(weights("one"))).toBe(true);
  }
  const missing = await run("train", [...ROWS.slice(0, 3), "--steps", "1", ...SHORT, "-o", "x/"]);
  expect([missing.code, missing.err]).toEqual([2, expect.stringContaining("--schedule-search")]);
  const odd = await run("train", [...out("odd"), ...SHORT.slice(0, -1), "5,2"]);
  expect([odd.code, odd.err]).toEqual([2, expect.stringContaining("--search-lengths 5,2 are no lengths")]);
});
