/** Bandits on loss progress: progress, sec, dump. */
import { expect, test } from "bun:test";
import type { Sampler } from "../../src/curriculum/contract.ts";
import { method as dump } from "../../src/curriculum/methods/samplers/dump.ts";
import { method as progress } from "../../src/curriculum/methods/samplers/progress.ts";
import { method as sec } from "../../src/curriculum/methods/samplers/sec.ts";
import { lossChanges } from "../../src/curriculum/reward.ts";
import { confidenceBonus } from "../../src/run/bandits.ts";
import { type AnySampler, groupsOf, make } from "./world.ts";

const ALL = [8, 8, 8];
const largest = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** Tells a sampler changes of loss rather than losses. */
function changing(method: AnySampler, values: Record<string, unknown> = {}, k = 3) {
  const groups = groupsOf(Object.fromEntries(Array.from({ length: k }, (_, i) => [`g${i}`, 10])));
  const sampler: Sampler = make(method, { groups, values: { reward: "raw", ...values } });
  let losses = groups.map(() => 100);
  sampler.update({ step: 0, losses, drawn: groups.map(() => 0) });
  let step = 0;
  return {
    sampler,
    hear(changes: readonly number[], drawn: readonly number[] = ALL): number[] {
      losses = losses.map((loss, i) => loss - changes[i]!);
      step += 10;
      sampler.update({ step, losses, drawn });
      return [...sampler.segment().probs];
    },
  };
}

test("changes are absolute, relative to the largest, and unknown where a loss is", () => {
  expect(lossChanges([1, 2, 3], [0.5, 3, 3], "raw")).toEqual([0.5, 1, 0]);
  expect(lossChanges([1, 2, 3], [0.5, 3, 3], "relative")).toEqual([0.5, 1, 0]);
  expect(lossChanges([1, 2], [0.8, 2.4], "relative")).toEqual([expect.closeTo(0.5, 9), 1]);
  expect(lossChanges([1, 1], [1, 1], "relative")).toEqual([0, 0]);
  expect(lossChanges([1, Number.NaN], [2, 1], "relative")).toEqual([1, Number.NaN]);
});

for (const [method, values] of [
  [sec, { tau: 0.2 }],
  [progress, { alpha: 0.5, tau: 0.2 }],
  [dump, { window: 2, c: 0.1 }],
] as [AnySampler, Record<string, unknown>][]) {
  test(`${method.name}: draws first and most what is about to be learnt, group after group`, () => {
    const crossing = [10, 25, 40, 55]; // when each is half learnt
    const { hear } = changing(method, values, 4);
    const favourite: number[] = [];
    for (let t = 1; t <= 60; t++) {
      const solved = crossing.map((at) => 1 / (1 + Math.exp(at - t)));
      const reward = solved.map((q) => 2 * Math.sqrt(q * (1 - q))); // the mean absolute advantage of a 0/1 reward
      favourite.push(largest(hear(reward, [8, 8, 8, 8])));
    }
    for (const [group, at] of crossing.entries()) {
      expect(favourite.slice(at, at + 4)).toEqual([group, group, group, group]);
    }
    expect(favourite.slice(10)).toEqual(favourite.slice(10).toSorted());
  });

  test(`${method.name}: is uniform before it has heard of changes, and while all change alike`, () => {
    const { sampler, hear } = changing(method, values);
    const even = [1 / 3, 1 / 3, 1 / 3].map((p) => expect.closeTo(p, 9));
    expect(make(method).segment()).toEqual({ probs: even as never, steps: 0 });
    expect(sampler.segment().probs).toEqual(even);
    for (let t = 0; t < 20; t++) expect(hear([0.3, 0.3, 0.3])).toEqual(even);
  });

  test(`${method.name}: a large temperature is uniform`, () => {
    const { hear } = changing(method, { ...values, tau: 1e9 });
    for (const p of hear([3, 0, 1])) expect(p).toBeCloseTo(1 / 3, 6);
  });
}

test("sec: values move by alpha, and those of groups that were not drawn decay", () => {
  const { sampler, hear } = changing(sec, { tau: 1 });
  hear([0.8, 0.4, 0]);
  hear([0.8, 0.4, 0], [8, 0, 8]);
  const values = sampler.notes!().values as number[];
  expect(values).toEqual([0.6, 0.1, 0].map((value) => expect.closeTo(value, 9)));
  const sum = values.reduce((all, value) => all + Math.exp(value), 0);
  expect(sampler.segment().probs[0]).toBeCloseTo(Math.exp(0.6) / sum, 9);
  for (let t = 0; t < 40; t++) hear([0, 0, 0]);
  for (const p of sampler.segment().probs) expect(p).toBeCloseTo(1 / 3, 9);
});

test("sec: the other rules", () => {
  const greedy = changing(sec, { rule: "greedy", epsilon: 0.3 }).hear([0.1, 0.5, 0.2]);
  expect(greedy).toEqual([0.1, 0.8, 0.1].map((p) => expect.closeTo(p, 9)));
  const floor = changing(sec, { rule: "proportional", alpha: 1 }).hear([0.49, 0.5, 0]);
  expect(floor).toEqual([0.49, 0.5, 0.01].map((p) => expect.closeTo(p, 9)));
});

test("progress: values are moving averages of the changes", () => {
  const { sampler, hear } = changing(progress, { alpha: 0.3 });
  hear([1, 2, 0]);
  hear([2, 0, 1], [8, 0, 8]); // whether a group was drawn does not matter
  expect(sampler.notes!().values).toEqual([0.81, 0.42, 0.3].map((value) => expect.closeTo(value, 9)));
});

test("progress: no group falls below its part of the uniform mixture", () => {
  const { hear } = changing(progress, { tau: 0.001, epsilon: 0.3 });
  expect(hear([1, 0, 0])).toEqual([0.8, 0.1, 0.1].map((p) => expect.closeTo(p, 9)));
});

test("progress: with relative rewards the unit of the loss does not matter", () => {
  const probs = (unit: number) => {
    const { hear } = changing(progress, { reward: "relative" });
    hear([0.5 * unit, 0.1 * unit, 0]);
    return hear([0.2 * unit, 0.3 * unit, 0.1 * unit]);
  };
  expect(probs(0.001)).toEqual(probs(1).map((p) => expect.closeTo(p, 6)));
});

test("dump: a small temperature takes the best score alone", () => {
  const { hear } = changing(dump, { tau: 1e-6 });
  expect(hear([0.1, 0.3, 0.2])).toEqual([0, 1, 0]);
});

test("dump: the bonus is largest for what was never drawn, and at equal means the scores order by rarity", () => {
  const bonus = confidenceBonus([0, 10, 100], 1);
  expect(bonus[0]).toBeCloseTo(Math.sqrt(2 * Math.log(111)), 9);
  expect(bonus[0]! > bonus[1]! && bonus[1]! > bonus[2]!).toBe(true);
  expect(confidenceBonus([3, 5], 0)).toEqual([0, 0]);
  const { hear } = changing(dump, { tau: 1 });
  const probs = hear([0.2, 0.2, 0.2], [30, 20, 10]);
  expect(probs[2]! > probs[1]! && probs[1]! > probs[0]!).toBe(true);
});

test("dump: its mean is that of the window, over updates in which the group was drawn", () => {
  const { sampler, hear } = changing(dump, { window: 2 });
  hear([1, 1, 1]);
  hear([3, 5, 5], [8, 0, 8]);
  hear([5, 7, 0], [8, 0, 8]);
  const { means, bonus } = sampler.notes!() as { means: number[]; bonus: number[] };
  expect(means).toEqual([4, 1, 2.5]);
  expect(bonus).toEqual(confidenceBonus([24, 8, 24], 1));
});
