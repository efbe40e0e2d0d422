/** What `align meta` searches: the base learner at first, gradients, and what a search finds that no constant does. */
import { describe, expect, test } from "bun:test";
import type { Form } from "../../../src/align/meta/form.ts";
import { drift, driftForm } from "../../../src/align/meta/forms/drift.ts";
import { objectiveForm, targetsOf } from "../../../src/align/meta/forms/objective.ts";
import { scheduleForm } from "../../../src/align/meta/forms/schedule.ts";
import { lifetime } from "../../../src/align/meta/lifetime.ts";
import { best, measure, type Tested } from "../../../src/align/meta/measure.ts";
import { search } from "../../../src/align/meta/search.ts";
import type { Lab } from "../../../src/align/meta/tabular.ts";
import { Random } from "../../../src/data/random.ts";
import { gruStep, gruWeights } from "../../../src/run/small-nets/gru.ts";

/** With INGOT_TEST_LONG=1 searches, which take minutes. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const LAB: Lab = { world: "bandit", arms: 10, noise: 0.3, side: 3, lr: 0.5, entropy: 0.05 };
const GRID: Lab = { ...LAB, world: "gridworld" };
const LENGTHS = [200, 2000] as const;

interface Asked {
  readonly pairs: number;
  readonly lives: number;
  readonly generations: number;
  readonly lr: number;
  readonly lengths?: readonly [number, number];
  readonly seed?: number;
}

/** Weights that a search ends with. */
async function found(form: Form, { lengths = LENGTHS, seed = 0, ...rest }: Asked): Promise<Float64Array> {
  const weights = form.first(seed);
  for await (const _ of search({ ...rest, form, lengths, sigma: 0.1, seed }, weights));
  return weights;
}

const worth = (form: Form, weights: Float64Array, test: Tested) =>
  measure((length, key) => form.live(weights, length, key), test).mean;

describe("a last layer of zeros is the learner as it is, bit for bit", () => {
  test.each(["bandit", "gridworld"] as const)("schedules in a %s", (world) => {
    const form = scheduleForm({ ...LAB, world }, [16], LENGTHS, true);
    const first = form.first(0);
    for (const share of [0, 0.3, 1]) expect(form.multipliers(first)(share, 400)).toEqual([1, 1]);
    expect(form.live(first, 20, 5)).toBe(form.base.live(20, 5));
    if (world === "bandit") expect(form.live(first, 200, 5)).toBe(lifetime(LAB, () => [1, 1], 200, 5));
    const moved = first.map((w) => w + 0.2);
    expect(form.live(moved, 20, 5)).not.toBe(form.base.live(20, 5));
  });

  test("drift", () => {
    const form = driftForm(GRID, 8, LENGTHS, true);
    const first = form.first(0);
    expect(form.live(first, 5, 3)).toBe(form.base.live(5, 3));
    const random = new Random("moved");
    const moved = first.map((w) => w + 0.5 * random.normal());
    expect(form.live(moved, 5, 3)).not.toBe(form.base.live(5, 3));
  });
});

test("a drift is never negative, is 0 without a slope where nothing has moved, and its slope is that of differences", () => {
  const random = new Random("drift");
  const weights = Float64Array.from({ length: 8 * 25 }, () => 0.5 * random.normal());
  const h = 1e-6;
  let positive = 0;
  for (const gain of [-1.5, 0.3, 2])
    for (const clock of [[-1, 0.5] as const, [0.8, -1] as const]) {
      expect(drift(weights, 1, gain, clock)).toEqual({ value: 0, slope: 0 });
      for (const rho of [0.4, 0.8, 1.3, 2.5]) {
        const { value, slope } = drift(weights, rho, gain, clock);
        expect(value).toBeGreaterThanOrEqual(0);
        positive += Number(value > 0);
        const [up, down] = [drift(weights, rho + h, gain, clock), drift(weights, rho - h, gain, clock)];
        expect(Math.abs((up.value - down.value) / (2 * h) - slope)).toBeLessThan(1e-5);
      }
    }
  expect(positive).toBeGreaterThan(5);
});

test("a gated unit keeps its state where the gate is shut, and forgets it where the gate is open", () => {
  const [inputs, units] = [2, 3];
  const weights = new Float64Array(gruWeights(inputs, units));
  const biases = 3 * units * (inputs + units);
  const h = Float64Array.of(0.5, -0.2, 0.9);
  weights.fill(50, biases, biases + units);
  for (const [i, x] of gruStep(weights, [1, 2], h).entries()) expect(x).toBeCloseTo(h[i]!, 12);
  weights.fill(-50, biases, biases + units);
  weights[biases + 2 * units + 1] = 0.7;
  const next = gruStep(weights, [1, 2], h);
  for (const [i, x] of next.entries()) expect(x).toBeCloseTo(i === 1 ? Math.tanh(0.7) : 0, 12);
});

test("an objective looks ahead within an episode and not beyond its end", () => {
  const form = objectiveForm(GRID, 6, LENGTHS, true);
  const weights = form.first(1).map((w) => 2 * w);
  const first = gruWeights(7, 6);
  const parts = {
    ...{ recurrent: weights.subarray(0, first), embedding: weights.subarray(first, first + 8) },
    ...{ out: weights.subarray(first + 8), units: 6 },
  };
  const trail = { states: [0, 1, 2, 3], nexts: [1, 2, 3, 4], ends: [0, 1, 0, 0], logs: [-1, -1, -1, -1] };
  const moves = (rewards: number[]) => [
    ...targetsOf(parts, { ...trail, rewards }, () => new Float64Array(8).fill(-Math.log(8)), [0, 0]).moves,
  ];
  const [plain, late, early] = [moves([0, 0, 0, 0]), moves([0, 0, 0, 1]), moves([0, 1, 0, 0])];
  expect(late.slice(0, 2)).toEqual(plain.slice(0, 2));
  expect(late[2]).not.toBe(plain[2]);
  expect(early[0]).not.toBe(plain[0]);
  expect(early.slice(2)).toEqual(plain.slice(2));
});

test("a search is a function of its seed", async () => {
  const short = { generations: 2, pairs: 2, lives: 1, lr: 0.05, lengths: [5, 10] as const };
  const forms = [
    scheduleForm(LAB, [4], LENGTHS, true),
    driftForm(GRID, 4, LENGTHS, true),
    objectiveForm(GRID, 4, LENGTHS, true),
  ];
  for (const form of forms) {
    const weights = await found(form, short);
    expect(await found(form, short)).toEqual(weights);
    expect(weights).not.toEqual(form.first(0));
    expect(await found(form, { ...short, seed: 1 })).not.toEqual(weights);
  }
});

test.if(LONG)(
  "a searched schedule explores early, settles late, and beats constants on lifetimes that it never saw",
  async () => {
    const asked = { pairs: 16, lives: 4, generations: 60, lr: 0.05 };
    const tested = { lengths: [300, 700, 1500], lives: 40 };
    const form = scheduleForm(LAB, [16], LENGTHS, true);
    const weights = await found(form, asked);
    for (const length of tested.lengths) {
      const by = form.multipliers(weights);
      expect(by(0, length)[1]).toBeGreaterThan(3);
      expect(by(1, length)[1]).toBeLessThan(0.5);
    }
    const own = worth(form, weights, tested);
    expect(own).toBeGreaterThan(best(form, tested).mean + 0.004);
    const blind = scheduleForm(LAB, [16], LENGTHS, false);
    expect(own).toBeGreaterThan(worth(blind, await found(blind, asked), tested) + 0.003);
  },
);

test.if(LONG)(
  "a learned objective teaches what its first one does not, and a drift tames a rate that is too high",
  async () => {
    const objective = objectiveForm({ ...GRID, lr: 5 }, 16, [10, 60], true);
    const tested = { lengths: [10, 24, 60], lives: 20 };
    const learnt = await found(objective, { pairs: 16, lives: 4, generations: 20, lr: 0.05, lengths: [10, 60] });
    expect(worth(objective, objective.first(0), tested)).toBeLessThan(0.4);
    expect(worth(objective, learnt, tested)).toBeGreaterThan(0.8);

    const drifting = driftForm({ ...GRID, lr: 2, entropy: 0.01 }, 16, [5, 40], true);
    const short = { lengths: [5, 14, 40], lives: 30 };
    const tamed = await found(drifting, { pairs: 16, lives: 4, generations: 25, lr: 0.05, lengths: [5, 40] });
    expect(worth(drifting, tamed, short)).toBeGreaterThan(measure(drifting.base.live, short).mean + 0.05);
  },
);
