/** Weights of rewards that change: dominated volumes, multipliers that hold means at thresholds, and their state. */
import { describe, expect, test } from "bun:test";
import { method as drGrpo } from "../../../src/align/methods/policies/dr-grpo.ts";
import { method as grpo } from "../../../src/align/methods/policies/grpo.ts";
import { method as ppo } from "../../../src/align/methods/policies/ppo.ts";
import { finished, groupRelative } from "../../../src/align/policies/advantages.ts";
import type { PolicyMethod, Rewarded } from "../../../src/align/policies/contract.ts";
import { checkRewardWeights } from "../../../src/align/policies/reward-weights/choose.ts";
import { ConstrainedWeights } from "../../../src/align/policies/reward-weights/constrained.ts";
import { GradientWeights, influences } from "../../../src/align/policies/reward-weights/gradient.ts";
import { GradientProducts } from "../../../src/align/policies/reward-weights/gradient-products.ts";
import { HypervolumeWeights, hypervolume } from "../../../src/align/policies/reward-weights/hypervolume.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { randomUnits } from "../../support/random.ts";
import { rewarded } from "./rewarded.ts";
import { bound, policyWorld, term, tinyModel } from "./world.ts";

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
    const { advantages: own } = weights.weighed(given, (all) => [...groupRelative(all as Rewarded)]);
    const factor = 0.5 + 1.5 * Math.tanh(0.5);
    expect(own).toEqual([0.5 * factor, -0.5 * factor, 0, 0].map((x) => expect.closeTo(x, 12)));
  });
});

describe("weights by gradients", () => {
  test("follow what each gradient does for all", () => {
    expect(influences([[4]])).toEqual([1]);
    // Orthogonal ones of one length are alike; what goes against the others has the least.
    expect(influences([[2, 0], [0, 2]])).toEqual([1, 1]); // biome-ignore format: a matrix
    expect(influences([[1, 1, -1], [1, 1, -1], [-1, -1, 1]])).toEqual([1, 1, -1]); // biome-ignore format: a matrix
    expect(influences([[0, 0], [0, 0]])).toEqual([0, 0]); // biome-ignore format: a matrix
  });

  const given = {
    ...rewarded(grpo as unknown as PolicyMethod, {}, { rewards: [1, 0.5, 0, 3], group: 2 }),
    terms: [[1, 0], [0, 1], [0, 0], [2, 2]], // biome-ignore format: a matrix
    weights: [1, 0.5],
  };
  const plain = (all: Rewarded<never>) => [...groupRelative(all as Rewarded)];

  test("stay 1 of one reward and equal where influences are, and multiply the rewards", async () => {
    const single = new GradientWeights(["a"], 0.5);
    await single.weigh({ ...given, terms: given.terms.map(([x]) => [x!]), weights: [1] }, plain, async () => [[3]]);
    expect(single.weights).toEqual([1]);
    const weights = new GradientWeights(["a", "b"], 0.5);
    const asked: unknown[] = [];
    const products = (rows: number[][]) => async (all: unknown) => {
      asked.push(all);
      return rows;
    };
    const equal = products([[2, 0], [0, 2]]); // biome-ignore format: a matrix
    await weights.weigh(given, plain, equal);
    expect(weights.weights).toEqual([0.5, 0.5].map((x) => expect.closeTo(x, 12)));
    // Each alone: b says the same of the third and half of the fourth.
    const alone = [0, 1].map((k) => plain({ ...given, rewards: Float64Array.from(given.terms, (row) => row[k]!) }));
    const close = (all: readonly unknown[]) => all.map((x) => expect.closeTo(x as number, 5));
    expect(asked[0]).toEqual(alone.map(close));
    const apart = products([[3, 0], [0, 1]]); // biome-ignore format: a matrix
    await weights.weigh(given, plain, apart); // s = 1.5 and 0.5
    const w = 1 / (1 + Math.exp(-0.5 * 1));
    expect(weights.weights).toEqual([w, 1 - w].map((x) => expect.closeTo(x, 12)));
    const sums = given.terms.map(([a, b]) => w * a! + (1 - w) * 0.5 * b!);
    const unscaled = { ...(given.values as object), scale_rewards: "none" } as never;
    const found = weights.weighed({ ...given, values: unscaled }, plain).advantages;
    const centred = sums.map((x, i) => x - (sums[i - (i % 2)]! + sums[i - (i % 2) + 1]!) / 2);
    expect(found).toEqual(centred.map((x) => expect.closeTo(x, 9)));
  });

  test("come of gradients of the policy: products are those of the sums over letters", async () => {
    const model = await tinyModel(await sharedGpu());
    const settings = { reward_weights: "gradient", group: 4, max_new_tokens: 3, scale_rewards: "none" } as const;
    const chosen = await bound("grpo", settings);
    const right = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));
    const terms = [right, { ...right, name: "again" }, term("not", ({ answer }) => (answer.includes("a") ? 0 : 1))];
    const world = policyWorld({ model, chosen, prompts: [[1], [2], [3], [4]], terms, rows: 8, accumulate: 2 });
    const { told } = (await world.source.next()).batch;
    // Two rewards agree, and the third goes against both: s = g^2, g^2, -g^2.
    const logs = [1, 1, -1].map((s) => 0.1 * s);
    const total = logs.reduce((sum, x) => sum + Math.exp(x), 0);
    for (const [k, name] of ["a", "again", "not"].entries())
      expect(told[`weight.${name}`]).toBeCloseTo(Math.exp(logs[k]!) / total, 5);
    world.free();
    model.free();
  });

  test("are of the weights that patterns name", async () => {
    const model = await tinyModel(await sharedGpu());
    const chosen = await bound("grpo", { reward_weights: "gradient", gradients_of: ["*.no.*"] });
    const setup = { model, chosen, recompute: false, rewards: 1, among: ["*.no.*"] };
    expect(() => new GradientProducts(setup)).toThrow("--gradients-of *.no.* names none");
    model.free();
  });
});

test("volumes are measured on held-out prompts, with the same draws before every so many rollouts", async () => {
  const model = await tinyModel(await sharedGpu());
  const settings = { reward_weights: "hypervolume", hypervolume_every: 2, scale_rewards: "none", group: 4 };
  const chosen = await bound("grpo", { ...settings, max_new_tokens: 3 } as Parameters<typeof bound>[1]);
  const asked: string[] = [];
  const right = term("a", ({ place, answer }) => {
    asked.push(`${place} ${answer}`);
    return answer.includes("a") ? 1 : 0;
  });
  const held = { prompts: [[5], [6], [7]], every: 2 };
  const world = policyWorld({ model, chosen, prompts: [[1], [2]], terms: [right], rows: 8, held });
  for (let i = 0; i < 3; i++) await world.source.next();
  const of = (name: string) => asked.filter((line) => line.startsWith(name));
  const once = 3 * 4;
  expect([of("world").length, of("held").length]).toEqual([3 * 8, 2 * once]);
  expect(of("held").slice(once)).toEqual(of("held").slice(0, once)); // the model did not change
  expect(asked.findLastIndex((line) => line.startsWith("held"))).toBe(2 * once + 2 * 8 - 1);
  // Nothing was gained.
  expect(world.told.map(({ reward_multiplier }) => reward_multiplier)).toEqual([1, 1, 0.5]);
  world.free();
  model.free();
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
    const found = withRaw(raw).weighed(given, plain).advantages;
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
    const at = (raw: number) => withRaw([raw], ["a"]).weighed(single, plain).advantages as number[];
    const close = (x: number) => expect.closeTo(x, 8);
    expect(at(50)).toEqual(alone(terms.map(([x]) => x!)).map(close));
    expect(at(-50)).toEqual(
      alone(
        terms.map(() => 0),
        penalties,
      ).map(close),
    );
  });

  test("of a method with a value head have an estimate of each reward, and of the divergence first", () => {
    const lengths = [2, 1, 3, 1, 2, 1];
    const unit = randomUnits(3);
    const tokens = (wide: number) => lengths.map((length) => Float64Array.from({ length: wide * length }, unit));
    const [estimates, paid] = [tokens(3), tokens(1)];
    const { values, ...rest } = rewarded(
      ppo as unknown as PolicyMethod,
      {},
      { rewards: terms.map(() => 0), group: 1, lengths },
    );
    const all = { ...rest, values, terms, weights: [1, 1], penalties: paid, estimates };
    const asPpo = (own: Rewarded<never>) => ppo.advantages!(own as never);
    const raw = [0.7, -0.4];
    const { advantages, returns } = withRaw(raw).weighed(all, asPpo);
    const [a, b] = raw.map((u) => 1 / (1 + Math.exp(-u)));
    const weights = [2 - a! - b!, a!, b!];
    const parts = weights.map((_, h) => {
      const own = estimates.map((row) => row.filter((__, i) => i % 3 === h));
      const rewards = Float64Array.from(terms, (row) => (h === 0 ? 0 : row[h - 1]!));
      const found = asPpo({ ...all, rewards, estimates: own, penalties: h === 0 ? paid : undefined }) as Float64Array[];
      for (const [row, one] of found.entries())
        for (const [t, advantage] of one.entries())
          expect(returns![row]![3 * t + h]).toBeCloseTo(own[row]![t]! + advantage, 12);
      return finished(found, values) as Float64Array[]; // ppo whitens
    });
    for (const [row, own] of (advantages as Float64Array[]).entries())
      for (const [t, advantage] of own.entries())
        expect(advantage).toBeCloseTo(
          weights.reduce((sum, w, h) => sum + w * parts[h]![row]![t]!, 0),
          10,
        );
  });

  test("of ppo train their heads: errors of what is foretold fall", async () => {
    const gpu = await sharedGpu();
    const [model, reference] = [await tinyModel(gpu), await tinyModel(gpu)];
    const settings = { reward_weights: "constrained", thresholds: [0.5, 0.2], max_new_tokens: 3, value_weight: 1 };
    const chosen = await bound("ppo", { ...settings, group: 4, updates: 2 } as Parameters<typeof bound>[1]);
    const both = [term("a", ({ answer }) => (answer.includes("a") ? 1 : 0)), term("b", () => 0.7)];
    const world = policyWorld({ model, chosen, prompts: [[1], [2]], terms: both, rows: 16, reference });
    const { held } = await world.maker.make(1, () => ({ prompt: 0, epoch: 0 }));
    for (const { ids, estimates, returns } of held.answers)
      expect([estimates!.length, returns!.length]).toEqual([3 * ids.length, 3 * ids.length]);
    expect(world.head!.parameters().map(({ shape }) => shape)).toEqual([[3, 16], [3]]);
    const training = await Training.make({
      ...{ model, source: world.source, objective: world.objective, controllers: [world.controller] },
      ...{ extra: world.head!.parameters(), optimizer: bindDefaults(adamw), rate: () => 2e-2, steps: 30, seed: 0 },
    });
    const errors: number[] = [];
    await training.run({
      signal: new AbortController().signal,
      onStep: ({ metrics }) => void errors.push(metrics.value_error!),
    });
    const mean = (own: readonly number[]) => own.reduce((x, y) => x + y, 0) / own.length;
    expect(mean(errors.slice(-4))).toBeLessThan(0.5 * mean(errors.slice(0, 4)));
    await training.free();
    world.free();
    for (const own of [model, reference]) own.free();
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
test("weights by gradients go on from a state", async () => {
  const weights = new GradientWeights(["a", "b"], 1);
  const products = async () => [[2, 1], [1, 1]]; // biome-ignore format: a matrix
  const { values, ...rest } = rewarded(grpo as unknown as PolicyMethod, {}, { rewards: [1, 0], group: 2 });
  const given = { ...rest, values, terms: [[1, 0], [0, 1]], weights: [1, 1] }; // biome-ignore format: a matrix
  const plain = (all: Rewarded<never>) => [...groupRelative(all as Rewarded)];
  await weights.weigh(given, plain, products);
  const other = new GradientWeights(["a", "b"], 1);
  other.load(JSON.parse(JSON.stringify(weights.state())));
  expect(other.weights).toEqual(weights.weights);
  expect(() => other.load({ logs: [0] })).toThrow("what weighs the rewards is damaged");
});

test.each([
  ["ppo", { reward_weights: "gradient", ...{ kl: 0.1, kl_in: "reward" } }, "ppo does more with rewards"],
  ["grpo", { reward_weights: "hypervolume" }, "takes that away again"],
  ["raft", { reward_weights: "hypervolume" }, "raft chooses answers"],
  ["remax", { reward_weights: "constrained", thresholds: [1, 1], ...KL }, "remax has one baseline"],
  ["grpo", { reward_weights: "constrained", thresholds: [1], ...KL }, "names 1 means, and there are 2 rewards: a, b"],
  ["grpo", { reward_weights: "constrained", thresholds: [1, 1], kl: 0.1 }, "against the divergence"],
  ["grpo", { reward_weights: "constrained", thresholds: [1, 1], overlong: 2, ...KL }, "--overlong is none"],
])("%s refuses %o", async (name, settings, problem) => {
  const terms = ["a", "b"].map((own) => term(own, () => 0));
  const chosen = await bound(name, settings as Parameters<typeof bound>[1]);
  expect(() => checkRewardWeights(chosen, terms)).toThrow(problem);
  expect(() => checkRewardWeights({ ...chosen, values: bindDefaults(chosen.method).values }, terms)).not.toThrow();
});
