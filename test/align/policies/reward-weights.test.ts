/** Weights of rewards that change: dominated volumes, multipliers that hold means at thresholds, and their state. */
import { describe, expect, test } from "bun:test";
import { method as drGrpo } from "../../../src/align/methods/policies/dr-grpo.ts";
import { method as grpo } from "../../../src/align/methods/policies/grpo.ts";
import { finished, groupRelative } from "../../../src/align/policies/advantages.ts";
import type { PolicyMethod, Rewarded } from "../../../src/align/policies/contract.ts";
import { checkRewardWeights } from "../../../src/align/policies/reward-weights/choose.ts";
import { ConstrainedWeights } from "../../../src/align/policies/reward-weights/constrained.ts";
import { HypervolumeWeights, hypervolume } from "../../../src/align/policies/reward-weights/hypervolume.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { randomUnits } from "../../support/random.ts";
import { rewarded } from "./rewarded.ts";
import { bound, term } from "./world.ts";

const unit = randomUnits(11);
const points = (count: number, size: number) =>
  Array.from({ length: count }, () => Array.from({ length: size }, () => 0.1 + unit()));

describe("the dominated volume", () => {
  test("of one point is the product of its numbers", () => {
    for (const [point] of [1, 2, 3, 4].map((size) => points(1, size)))
      expect(hypervolume([point!])).toBeCloseTo(
        point!.reduce((a, b) => a * b, 1),
        12,
      );
  });

  test("of several is that of their boxes, each part counted once", () => {
    for (const size of [1, 2, 3]) {
      const all = points(5, size);
      // Boxes meet in the box of their least numbers: by inclusion and exclusion.
      let volume = 0;
      for (let subset = 1; subset < 2 ** all.length; subset++) {
        const own = all.filter((_, i) => subset & (1 << i));
        const least = own[0]!.map((_, k) => Math.min(...own.map((point) => point[k]!)));
        volume += (own.length % 2 === 1 ? 1 : -1) * least.reduce((a, b) => a * b, 1);
      }
      expect(hypervolume(all)).toBeCloseTo(volume, 10);
    }
  });

  test("does not change by a dominated point, by order, or by one that is below the reference", () => {
    const all = points(6, 3);
    const volume = hypervolume(all);
    expect(hypervolume([...all, all[2]!.map((x) => 0.9 * x)])).toBeCloseTo(volume, 12);
    expect(hypervolume([...all, [9, 9, -0.1]])).toBe(volume);
    expect(hypervolume(all.toReversed())).toBeCloseTo(volume, 12);
  });
});

describe("the multiplier by volume", () => {
  test("is 1 at the start, then 0.5 and more by what a measurement adds", () => {
    const weights = new HypervolumeWeights([2, -1], 2);
    const multiplier = () => weights.told().reward_multiplier;
    weights.heard([0.1, 5]);
    expect(multiplier()).toBe(1);
    weights.heard([0.4, 4.5]);
    expect(multiplier()).toBe(1);
    weights.heard([0.6, 4.5]); // 0.4 more of what is wanted, 0.5 less of what is not
    expect(multiplier()).toBeCloseTo(0.5 + 1.5 * Math.tanh(0.4 * 0.5), 12);
    for (let i = 0; i < 2; i++) weights.heard([0.4, 4.6]);
    expect([multiplier(), weights.told().hypervolume]).toEqual([0.5, expect.closeTo(0.2, 12)]);
  });

  test("multiplies the rewards of what is divided by no deviation", () => {
    const weights = new HypervolumeWeights([1], 1);
    weights.heard([0]);
    weights.heard([0.5]);
    const given = rewarded(drGrpo as unknown as PolicyMethod, {}, { rewards: [1, 0, 2, 2], group: 2 });
    const own = weights.advantages(given, (all) => [...groupRelative(all as Rewarded)]);
    const factor = 0.5 + 1.5 * Math.tanh(0.5);
    expect(own).toEqual([0.5 * factor, -0.5 * factor, 0, 0].map((x) => expect.closeTo(x, 12)));
  });
});

const SETUP = { names: ["a", "b"], thresholds: [0.5, 0.2], constraint: "geq", rate: 4, momentum: 0, seed: 1 } as const;

describe("multipliers", () => {
  const penalties = [0.1, 0.2, 0.4, 0.05, 0.3, 0].map((x) => Float64Array.of(x));
  const terms = [
    [1, 0],
    [0, 1],
    [0.5, 0.5],
    [0, 0],
    [1, 1],
    [0.25, 0],
  ];
  const given = {
    ...rewarded(grpo as unknown as PolicyMethod, {}, { rewards: terms.map(() => 0), group: 3 }),
    terms,
    penalties,
  };
  const plain = (all: Rewarded<never>) => [...groupRelative(all as Rewarded)];
  /** Advantages of one reward alone, with mean 0 and variance 1. */
  const alone = (rewards: readonly number[], own?: typeof penalties): number[] => {
    const { values, ...rest } = rewarded(grpo as unknown as PolicyMethod, { whiten: true }, { rewards, group: 3 });
    return finished(plain({ ...rest, values, penalties: own }), values) as number[];
  };
  const withRaw = (raw: readonly number[], names = SETUP.names as readonly string[]) => {
    const weights = new ConstrainedWeights({ ...SETUP, names });
    weights.load({ raw: [...raw], speed: raw.map(() => 0) });
    return weights;
  };

  test("begin near one half, or near 0 for equalities, alike for a seed", () => {
    for (const [constraint, start] of [
      ["geq", 0.5],
      ["eq", 0],
    ] as const) {
      const { multipliers } = new ConstrainedWeights({ ...SETUP, constraint });
      for (const m of multipliers) expect(Math.abs(m - start)).toBeLessThan(0.05);
      expect(new ConstrainedWeights({ ...SETUP, constraint }).multipliers).toEqual(multipliers);
    }
  });

  test("stay where a mean is its threshold, fall above and rise below", () => {
    const weights = withRaw([0.3, 0.3]);
    const [before] = weights.multipliers;
    weights.heard([0.5, 0.2]);
    expect(weights.multipliers).toEqual([before!, before!]);
    weights.heard([0.6, 0.1]);
    expect(weights.multipliers[0]!).toBeLessThan(before!);
    expect(weights.multipliers[1]!).toBeGreaterThan(before!);
  });

  test("of equalities go below 0 and push down", () => {
    const weights = new ConstrainedWeights({ ...SETUP, constraint: "eq" });
    for (let i = 0; i < 20; i++) weights.heard([0.9, 0.1]);
    expect(weights.multipliers[0]!).toBeLessThan(-0.5);
    expect(weights.multipliers[1]!).toBeGreaterThan(0.5);
  });

  test("weigh the advantages of each reward, and of the divergence by what they leave", () => {
    const raw = [0.7, -0.4];
    const [a, b] = raw.map((u) => 1 / (1 + Math.exp(-u)));
    const found = withRaw(raw).advantages(given, plain);
    const [first, second] = [0, 1].map((k) => alone(terms.map((row) => row[k]!)));
    const away = alone(
      terms.map(() => 0),
      penalties,
    );
    for (const [i, advantage] of found.entries())
      expect(advantage).toBeCloseTo((2 - a! - b!) * away[i]! + a! * first![i]! + b! * second![i]!, 10);
  });

  test("of 1 leave the reward alone, and of 0 the pull to the model as it was", () => {
    const single = { ...given, terms: terms.map(([x]) => [x!]) };
    const at = (raw: number) => withRaw([raw], ["a"]).advantages(single, plain) as number[];
    const close = (x: number) => expect.closeTo(x, 8);
    expect(at(50)).toEqual(alone(terms.map(([x]) => x!)).map(close));
    expect(at(-50)).toEqual(
      alone(
        terms.map(() => 0),
        penalties,
      ).map(close),
    );
  });

  test("hold a reward near its threshold that would grow past what it is worth", () => {
    // The reward follows its advantage; the model pulls back. The gold score falls beyond 0.6.
    const gold = (x: number) => x - 4 * Math.max(0, x - 0.6) ** 2;
    const run = (multiplier: () => number, heard: (mean: number) => void) => {
      let mean = 0.2;
      for (let step = 0; step < 400; step++) {
        const m = multiplier();
        mean += 0.05 * (m * (2 - mean) - (1 - m) * mean);
        heard(mean);
      }
      return mean;
    };
    const weights = new ConstrainedWeights({ ...SETUP, names: ["a"], thresholds: [0.6], rate: 1 });
    const held = run(
      () => weights.multipliers[0]!,
      (mean) => weights.heard([mean]),
    );
    const free = run(
      () => 1,
      () => {},
    );
    expect(Math.abs(held - 0.6)).toBeLessThan(0.05);
    expect(gold(held)).toBeGreaterThan(gold(free) + 1);
  });
});

test("states are continued from, and damaged ones are refused", () => {
  const made = [() => new HypervolumeWeights([1, 1], 2), () => new ConstrainedWeights({ ...SETUP, momentum: 0.5 })];
  for (const make of made) {
    const whole = make();
    for (let i = 0; i < 7; i++) whole.heard([0.1 * i, 0.05 * i * i]);
    const first = make();
    for (let i = 0; i < 4; i++) first.heard([0.1 * i, 0.05 * i * i]);
    const rest = make();
    rest.load(JSON.parse(JSON.stringify(first.state())));
    for (let i = 4; i < 7; i++) rest.heard([0.1 * i, 0.05 * i * i]);
    expect(rest.state()).toEqual(whole.state());
    expect(() => make().load({})).toThrow("what weighs the rewards is damaged");
  }
});

const KL = { kl: 0.1, kl_in: "reward" };
test.each([
  ["grpo", { reward_weights: "hypervolume" }, "takes that away again"],
  ["raft", { reward_weights: "hypervolume" }, "raft chooses answers"],
  ["ppo", { reward_weights: "constrained", thresholds: [1, 1], ...KL }, "ppo has one baseline"],
  ["grpo", { reward_weights: "constrained", thresholds: [1], ...KL }, "names 1 means, and there are 2 rewards: a, b"],
  ["grpo", { reward_weights: "constrained", thresholds: [1, 1], kl: 0.1 }, "against the divergence"],
  ["grpo", { reward_weights: "constrained", thresholds: [1, 1], overlong: 2, ...KL }, "--overlong is none"],
])("%s refuses %o", async (name, settings, problem) => {
  const terms = ["a", "b"].map((own) => term(own, () => 0));
  const chosen = await bound(name, settings as Parameters<typeof bound>[1]);
  expect(() => checkRewardWeights(chosen, terms)).toThrow(problem);
  expect(() => checkRewardWeights({ ...chosen, values: bindDefaults(chosen.method).values }, terms)).not.toThrow();
});
