/** Weights of groups in the loss: coba, task-balance. */

import { expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { method as coba, cobaWeights, slopeOf } from "../../src/curriculum/methods/samplers/coba.ts";
import { method as taskBalance } from "../../src/curriculum/methods/samplers/task-balance.ts";
import { taskWeights } from "../../src/curriculum/task-weights.ts";
import { drive, groupsOf, make, saturatingWorld } from "./world.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

test("coba: slopes are those of the least-squares line", () => {
  expect(slopeOf([1, 3])).toBe(2);
  expect(slopeOf([5, 4, 3, 2])).toBeCloseTo(-1, 12);
  expect(slopeOf([0, 1, 0])).toBe(0);
});

test("coba: weights sum to 1, keep a floor, and are equal for equal slopes", () => {
  expect(cobaWeights([[-1, -1, -1]], [-1], 5)).toEqual(close([1 / 3, 1 / 3, 1 / 3]));
  const cases = [
    [[-1, -0.1, 0]],
    [
      [-1, -2, -3],
      [-0.5, -1, 3],
    ],
    [[0, 0, 0]],
  ];
  for (const slopes of cases) {
    const weights = cobaWeights(slopes, slopes.map(Math.max.bind(null, 0) as never), 5);
    expect(sum(weights)).toBeCloseTo(1, 12);
    expect(Math.min(...weights)).toBeGreaterThanOrEqual(1 / 30);
  }
});

test("coba: what converges fast gets less while nothing diverges", () => {
  const weights = cobaWeights([[-0.5, -0.1, -0.1]], [-0.1], 5);
  expect(weights[0]).toBeLessThan(weights[1]!);
  const softmax = (x: number[]) => x.map((value) => Math.exp(value) / sum(x.map(Math.exp)));
  const relative = softmax([-0.5, -0.1, -0.1].map((slope) => (3 * slope) / 0.7));
  expect(weights).toEqual(close(softmax(relative.map((r) => 3 * r)).map((w) => 0.9 * w + 1 / 30)));
});

test("coba: what diverges gets less", () => {
  const falling = Array.from({ length: 10 }, () => [-0.1, -0.1, -0.1]);
  const slopes = [...falling, [-0.1, -0.1, 0.3]];
  const worst = [...falling.map(() => -0.1), 0.3];
  const weights = cobaWeights(slopes, worst, 5);
  expect(weights[2]).toBeLessThan(weights[0]!);
  // Without the divergence factor, the slope that is largest would get the most.
  const calm = cobaWeights(slopes, [...falling.map(() => 0.1), -0.3], 5);
  expect(calm[2]).toBeGreaterThan(calm[0]!);
});

test("coba: equal until its warm-up, then slow tasks ahead of fast ones", () => {
  const groups = groupsOf({ fast: 100, slow: 100 });
  const world = saturatingWorld([0.1, 0.1], [3, 3], [0.02, 0.004]);
  const heard = drive(make(coba, { groups, values: { burn_in: 100 } }), world, 300);
  for (const { segment, step } of heard) {
    if (step < 100) expect(segment.weights).toEqual(close([0.5, 0.5]));
    if (step === 150) expect(segment.weights![1]).toBeGreaterThan(0.525);
    expect(segment.probs).toEqual([0.5, 0.5]);
  }
});

test("coba: weights are those of the mean losses of groups, whatever tokens these have and however they are drawn", () => {
  const groups = [
    { name: "long", rows: 10, tokens: 1000 },
    { name: "short", rows: 30, tokens: 300 },
  ];
  expect(coba.taskLoss).toBe("task-token-mean");
  for (const shares of ["size", "uniform"]) {
    const sampler = make(coba, { groups, values: { shares, burn_in: 0 } });
    expect(sampler.segment().weights).toEqual([0.5, 0.5]);
    for (const losses of [
      [3, 3],
      [2, 2.9],
      [1.5, 2.8],
    ])
      sampler.update({ step: 10, losses, drawn: [1, 1] });
    const { weights } = sampler.segment();
    expect(weights).toEqual(sampler.notes!().balance as number[]);
    expect(sum(weights!)).toBeCloseTo(1, 12);
    expect(weights![1]).toBeGreaterThan(weights![0]!);
  }
});

const MINI = [0.5, 0.4, 0.2];
const FULL = [
  [0.6, 0.4, 0.2],
  [0.55, 0.6, 0.25],
  [0.5, 0.4, 0.8],
];

test("task weights: contributions, difficulty, and weights that sum to K", () => {
  const { weights, contribution, difficulty, saturated } = taskWeights(MINI, FULL);
  expect(difficulty).toEqual(close([1 - 0.5 / 0.6, 1 - 0.4 / 0.6, 0.75]));
  expect(contribution.flat()).toEqual(close([1, 0, 0, 0.5, 1, 0.05 / 0.6, 0, 0, 1]));
  expect(saturated).toEqual([]);
  expect(sum(weights)).toBeCloseTo(3, 9);
  const softmax = (x: number[]) => x.map((value) => Math.exp(value) / sum(x.map(Math.exp)));
  const out = softmax([0, (0.5 + 0.05 / 0.6) / 2, 0].map((x) => x / 0.5));
  const inward = softmax([-0.25, 0, -0.025 / 0.6].map((x) => x / 0.5));
  const hard = softmax([1 - 0.5 / 0.6, 1 - 0.4 / 0.6, 0.75].map((x) => x / 0.5));
  expect(weights).toEqual(close(out.map((_, i) => 3 * (0.25 * out[i]! + 0.25 * inward[i]! + 0.5 * hard[i]!))));
});

test("task weights: a large temperature makes them all 1; a saturated task is named and left out", () => {
  expect(taskWeights(MINI, FULL, { tau: 1e9 }).weights).toEqual(close([1, 1, 1], 6));
  const saturated = taskWeights(MINI, [FULL[0]!, [0.55, 0.4, 0.25], FULL[2]!]);
  expect(saturated.saturated).toEqual([1]);
  expect(saturated.contribution[0]![1]).toBeNaN();
  expect(saturated.weights.every(Number.isFinite)).toBe(true);
  expect(() => taskWeights(MINI, FULL.slice(1))).toThrow("task weights need 3 x 3 scores");
  expect(() => taskWeights(MINI, FULL, { out: 1 })).toThrow("sum to 1.75, expected 1");
});

test("task-balance: given weights once and for all, scaled to sum to K", () => {
  const segment = make(taskBalance, { values: { group_weights: [1, 1, 4] } }).segment();
  expect(segment.weights).toEqual(close([0.5, 0.5, 2]));
  expect(segment.steps).toBe(Number.POSITIVE_INFINITY);
  expect(() => make(taskBalance)).toThrow("--method task-balance needs --group-weights");
  expect(() => make(taskBalance, { values: { group_weights: [1, -1, 1] } })).toThrow("--group-weights: -1 is below 0");
  expect(() => make(taskBalance, { values: { group_weights: [1] } })).toThrow("--group-weights has 1 values");
});

test("task-balance: weights of a file are taken by name", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-weights-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "weights.json");
  const given = (json: unknown) => {
    writeFileSync(file, JSON.stringify(json));
    return make(taskBalance, { values: { weights_file: file } }).segment().weights;
  };
  const names = make(taskBalance, { values: { group_weights: [1, 1, 4] } })
    .segment()
    .weights!.map((_, i) => "abc"[i]!);
  expect(given({ groups: [...names].reverse(), weights: [4, 1, 1] })).toEqual([0.5, 0.5, 2]);
  expect(() => given({ groups: ["a", "b"], weights: [1, 1] })).toThrow("has no weight of the group c");
  expect(() => given({ groups: names, weights: [1, 1] })).toThrow("holds no groups with weights");
  expect(() => given({ groups: names, weights: [1, -1, 1] })).toThrow("-1 is below 0");
  const both = { group_weights: [1, 1, 1], weights_file: file };
  expect(() => make(taskBalance, { values: both })).toThrow("both --group-weights and --weights-file");
});

test("task-balance: the baselines", () => {
  const softmax = (x: number[]) => x.map((value) => (3 * Math.exp(value)) / sum(x.map(Math.exp)));
  const hear = (strategy: string, all: number[][], seed = 0) => {
    const sampler = make(taskBalance, { seed, values: { strategy, window: 2 } });
    return [
      sampler.segment().weights,
      ...all.map((training, i) => {
        sampler.update({ step: 25 * (i + 1), training, drawn: [1, 1, 1] });
        return sampler.segment().weights;
      }),
    ];
  };
  const losses = [
    [9, 9, 9],
    [4, 4, 4],
    [2, 2, 4],
    [4, 2, 4],
    [3, 1, 8],
  ];
  const ones = [1, 1, 1];
  expect(hear("equal", losses).at(-1)).toEqual(ones);
  const dwa = hear("dwa", losses);
  expect(dwa.slice(0, 2)).toEqual([ones, ones]);
  expect(dwa.at(-1)).toEqual(close(softmax([3 / 8, 1 / 4, 1])));
  const gap = hear("gap", losses);
  expect(gap.slice(0, 4)).toEqual([ones, ones, ones, ones]);
  expect(gap.at(-1)).toEqual(close(softmax([1, 0.5, 2])));
  const random = hear("random", losses);
  expect(random[0]).not.toEqual(random[1]);
  expect(random).toEqual(hear("random", losses));
  expect(random).not.toEqual(hear("random", losses, 1));
  for (const weights of random) expect(sum(weights!)).toBeCloseTo(3, 9);
});

test("task-balance: weights that follow losses do not depend on the order of groups", () => {
  const losses = [
    [4, 3, 2],
    [3, 3, 1],
    [2, 3, 0.5],
  ];
  const after = (strategy: string, order: readonly number[]) => {
    const sampler = make(taskBalance, { values: { strategy, window: 1 } });
    for (const [i, all] of losses.entries())
      sampler.update({ step: 25 * (i + 1), training: order.map((g) => all[g]!), drawn: [1, 1, 1] });
    const { weights } = sampler.segment();
    return [0, 1, 2].map((g) => weights![order.indexOf(g)]!);
  };
  for (const strategy of ["dwa", "gap"]) {
    const here = after(strategy, [0, 1, 2]);
    expect(new Set(here).size).toBe(3);
    expect(after(strategy, [2, 0, 1])).toEqual(close(here));
  }
});
