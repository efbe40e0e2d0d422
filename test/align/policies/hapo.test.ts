/** What HAPO makes of entropies: their scale, token-level advantages, and the loss against a reference in f64. */
import { describe, expect, test } from "bun:test";
import { heterogeneity, method } from "../../../src/align/methods/policies/hapo.ts";
import { groupRelative } from "../../../src/align/policies/advantages.ts";
import type { PolicyMethod } from "../../../src/align/policies/contract.ts";
import { Likelihoods } from "../../../src/align/policies/likelihoods.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals, randomUnits } from "../../support/random.ts";
import { type Judged, rewarded } from "./rewarded.ts";
import { tokenLoss } from "./token-loss.ts";
import { bound, policyWorld, term, tinyModel } from "./world.ts";

const hapo = method as unknown as PolicyMethod;
const unit = randomUnits(7);

describe("the scale of entropies", () => {
  test("ends at -1 and 1, keeps their order, and is 0 at the quantile", () => {
    const entropies = [5, 3, 3].map((length) => Float64Array.from({ length }, () => unit() + 0.01));
    const all = entropies.flatMap((own) => [...own]);
    const found = heterogeneity(entropies, 0.8);
    expect(found.map(({ length }) => length)).toEqual([5, 3, 3]);
    const scaled = found.flatMap((own) => [...own]);
    expect([Math.min(...scaled), Math.max(...scaled)]).toEqual([-1, 1]);
    const order = (x: readonly number[]) => [...x.keys()].sort((a, b) => x[a]! - x[b]!);
    expect(order(scaled)).toEqual(order(all));
    // Of 11 values 8 lie below 0.8 of them, and the ninth lies there.
    const sorted = scaled.toSorted((a, b) => a - b);
    expect([sorted[7]! < 0, sorted[8], sorted[9]! > 0]).toEqual([true, 0, true]);
    // Each side is a part of its own end.
    const logs = all.map(Math.log).sort((a, b) => a - b);
    expect(sorted[3]).toBeCloseTo((logs[3]! - logs[8]!) / (logs[8]! - logs[0]!), 12);
    expect(sorted[9]).toBeCloseTo((logs[9]! - logs[8]!) / (logs[10]! - logs[8]!), 12);
  });

  test("is 0 where all are alike, those of no entropy among them", () => {
    for (const h of [0, 0.7])
      expect(heterogeneity([new Float64Array(3).fill(h), new Float64Array(2).fill(h)], 0.8)).toEqual([
        new Float64Array(3),
        new Float64Array(2),
      ]);
  });
});

describe("token-level advantages", () => {
  const advantagesOf = (judged: Judged, settings: Readonly<Record<string, unknown>> = {}) =>
    hapo.advantages!(rewarded(hapo, settings, judged)) as number[];
  const grpo = (judged: Judged) => [...groupRelative(rewarded(hapo, {}, judged))];
  const [group, count] = [4, 24];
  const rewards = Array.from({ length: count }, () => Math.round(10 * unit()) / 10);

  test("add up to 0 over the tokens of every group, and not over its answers", () => {
    const lengths = rewards.map((_, i) => 1 + ((7 * i) % 5));
    const found = advantagesOf({ rewards, group, lengths });
    for (let from = 0; from < count; from += group) {
      const own = found.slice(from, from + group);
      expect(own.reduce((sum, a, i) => sum + a * lengths[from + i]!, 0)).toBeCloseTo(0, 9);
      expect(Math.abs(own.reduce((sum, a) => sum + a, 0))).toBeGreaterThan(1e-3);
    }
  });

  test("are GRPO's where answers are of one length, and with --no-token-group-adv", () => {
    const alike = { rewards, group, lengths: rewards.map(() => 3) };
    for (const [i, advantage] of grpo(alike).entries()) expect(advantagesOf(alike)[i]).toBeCloseTo(advantage, 12);
    const judged = { rewards, group, lengths: rewards.map((_, i) => 1 + (i % 5)) };
    expect(advantagesOf(judged)).not.toEqual(grpo(judged));
    expect(advantagesOf(judged, { token_group_adv: false })).toEqual(grpo(judged));
  });

  test("are GRPO's in a group where one would be 5 or more", () => {
    const judged = { rewards: [1, 0, 0, 0, 1, 0, 0, 0], group, lengths: [1, 90, 90, 90, 30, 90, 90, 90] };
    const found = advantagesOf(judged);
    expect(found.slice(0, 4)).toEqual(grpo(judged).slice(0, 4));
    expect(found.slice(4)).not.toEqual(grpo(judged).slice(4));
  });

  test("are 0 where rewards are alike", () => {
    expect(advantagesOf({ rewards: [1, 1, 1, 1], group, lengths: [1, 2, 3, 4] })).toEqual([0, 0, 0, 0]);
  });
});

describe("the loss", () => {
  const [rows, length] = [5, 7];
  const size = rows * length;
  const logProbs = Float32Array.from({ length: size }, () => -0.1 - 2 * unit());
  const shifts = normals(5, size);
  const old = logProbs.map((p, i) => p - 0.35 * shifts[i]!);
  const traits = Float32Array.from({ length: size }, (_, i) => [-1, 1, 0, 2 * unit() - 1][i % 4]!);
  const advantages = [1.2, -0.7, 2, -1.6, 0.4];

  test.each([
    [{}, 1, 1],
    [{ adv_spread: 0.6, clip_spread: 0.5 }, 0.6, 0.5],
    [{ ada_adv: false }, 0, 1],
    [{ ada_clip: false, clip_low: 0.1, clip_high: 0.3 }, 1, 0],
  ])("with %o is the surrogate of its ranges and advantages", async (settings, b, a) => {
    const chosen = await bound("hapo", settings);
    const { clip_low: e, clip_high: f } = chosen.values as { clip_low: number; clip_high: number };
    const { told, gradient } = await tokenLoss(chosen, { rows, logProbs, old, traits, advantages });
    let [loss, below, beyond] = [0, 0, 0];
    for (let i = 0; i < size; i++) {
      const [ratio, h] = [Math.exp(logProbs[i]! - old[i]!), traits[i]!];
      const [down, up] = [h <= 0 ? e * (1 - a * h) : e, h > 0 ? f * (1 + a * h) : f];
      const isNeutral = ratio > 1 - down / 2 && ratio < 1 + up / 2;
      const plain = advantages[Math.floor(i / length)]!;
      const own = h > 0 === isNeutral ? plain : plain * (1 + b * h);
      const held = Math.min(1 + up, Math.max(1 - down, ratio));
      const isFree = ratio * own <= held * own;
      loss -= Math.min(ratio * own, held * own) / size;
      expect(gradient[i]).toBeCloseTo(isFree || held === ratio ? (-ratio * own) / size : 0, 6);
      below += ratio < 1 - down && plain < 0 ? 1 / size : 0;
      beyond += ratio > 1 + up && plain > 0 ? 1 / size : 0;
    }
    expect(told.loss).toBeCloseTo(loss, 5);
    expect([told.clip_low, told.clip_high]).toEqual([expect.closeTo(below, 5), expect.closeTo(beyond, 5)]);
    expect(Math.min(below, beyond)).toBeGreaterThan(0);
  });

  test("without spreads, or with entropies that are alike, is DAPO's with one range and dual clip", async () => {
    const given = { rows, logProbs, old, advantages };
    const dapo = await tokenLoss(await bound("dapo", { clip_high: 0.2, clip_delta: 10 }), given);
    const none = await tokenLoss(await bound("hapo", { adv_spread: 0, clip_spread: 0 }), { ...given, traits });
    const alike = await tokenLoss(await bound("hapo"), given);
    for (const found of [none, alike])
      for (const [i, g] of dapo.gradient.entries()) expect(found.gradient[i]).toBeCloseTo(g, 7);
    const spread = await tokenLoss(await bound("hapo"), { ...given, traits });
    expect(Math.max(...spread.gradient.map((g, i) => Math.abs(g - dapo.gradient[i]!)))).toBeGreaterThan(1e-3);
  });
});

test("certain tokens are sampled colder and uncertain ones warmer, on the scale of the rollout before", async () => {
  const { values } = await bound("hapo", { temperature: 1.5, temp_spread: 0.2 });
  const given = {
    rewards: [0, 1],
    group: 2,
    entropies: [Float64Array.of(0.1, 0.2, 0.4), Float64Array.of(0.8, 1.6, 3.2)],
  };
  const kept = hapo.keeps!(rewarded(hapo, { entropy_quantile: 0.4 }, given));
  // 0.4 is the quantile; two doublings lie below it, three above.
  const heat = hapo.heat!(values as never, JSON.parse(JSON.stringify(kept)))!;
  expect(heat(0.4)).toBeCloseTo(1.5, 12);
  expect([heat(0.1), heat(0.01)]).toEqual([expect.closeTo(1.2, 12), expect.closeTo(1.2, 12)]);
  expect([heat(3.2), heat(9)]).toEqual([expect.closeTo(1.8, 12), expect.closeTo(1.8, 12)]);
  expect(heat(0.2)).toBeCloseTo(1.5 * (1 - 0.2 / 2), 12);
  expect(heat(0.8)).toBeCloseTo(1.5 * (1 + 0.2 / 3), 12);
  for (const more of [{ ada_temp: false }, { temp_spread: 0 }])
    expect(hapo.heat!((await bound("hapo", more)).values, kept)).toBeUndefined();
  expect(hapo.heat!(values as never, undefined)).toBeUndefined();
});

test("rollouts after the first are sampled at temperatures of tokens, and ratios stay those of --temperature", async () => {
  const model = await tinyModel(await sharedGpu());
  const reward = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));
  const settings = { group: 4, max_new_tokens: 5, prompts_per_step: 8, dynamic_sampling: false, temp_spread: 0.9 };
  const [warm, even] = await Promise.all(
    [settings, { ...settings, ada_temp: false }].map(async (own) => {
      const chosen = await bound("hapo", own);
      return policyWorld({ model, chosen, prompts: [[1], [2]], terms: [reward], rows: 8 });
    }),
  );
  let drawn = 0;
  const draw = () => ({ prompt: drawn % 2, epoch: Math.floor(drawn++ / 2) });
  const first = await warm!.maker.make(1, draw);
  drawn = 0;
  const other = await even!.maker.make(1, draw);
  expect(first.held).toEqual(other.held);
  const [second, plain] = [await warm!.maker.make(2, draw, { before: first.held }), await even!.maker.make(2, draw)];
  expect(plain.held.told.sampling_gap!).toBeLessThan(1e-4);
  expect(second.held.told.sampling_gap!).toBeGreaterThan(0.01);
  expect(second.held.kept).not.toEqual(first.held.kept);
  for (const world of [warm!, even!]) world.free();
  model.free();
});

test("a rollout tells the entropy of every token of the policy that sampled", async () => {
  const gpu = await sharedGpu();
  const model = await tinyModel(gpu);
  const likelihoods = new Likelihoods(model, { temperature: 1.5, entropies: true });
  const prompt = [3, 1];
  const sequences = Array.from({ length: 8 }, (_, id) => {
    const ids = Int32Array.of(...prompt, id, 2);
    return { ids, labels: ids, group: 0, place: "" };
  });
  const scores = await likelihoods.of(sequences, new Array(8).fill(2), { rows: 4, pad: 0 });
  const entropy = scores.reduce((sum, { logProbs }) => sum - Math.exp(logProbs[0]!) * logProbs[0]!, 0);
  for (const { entropies } of scores) {
    expect(entropies).toHaveLength(2);
    expect(entropies![0]).toBeCloseTo(entropy, 5);
  }
  likelihoods.free();

  const settings = { group: 4, max_new_tokens: 5, prompts_per_step: 2, dynamic_sampling: false };
  const reward = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));
  const world = policyWorld({ model, chosen: await bound("hapo", settings), prompts: [[1], [2]], terms: [reward] });
  const { batch } = await world.source.next();
  // The first update reads them, too, though it needs no ratio.
  expect(batch.old).toBeUndefined();
  const told = [...batch.traits!].filter((_, i) => batch.weights[i] !== 0);
  expect(new Set(told).size).toBeGreaterThan(4);
  const others = (await world.source.next()).batch;
  const all = [...batch.traits!, ...others.traits!];
  expect([Math.min(...all), Math.max(...all)]).toEqual([-1, 1]);
  world.free();
  model.free();
});

test.each([
  [{ scale_rewards: "none" }, "--scale-rewards none is another way"],
  [{ combine: "normalized" }, "--combine normalized is another way"],
] as const)("refuses %o beside a deviation over tokens", async (settings, problem) => {
  const check = async (all: Readonly<Record<string, unknown>>) => hapo.check!((await bound("hapo", all)).values);
  expect(check(settings)).rejects.toThrow(problem);
  expect(check({ ...settings, token_group_adv: false })).resolves.toBeUndefined();
});
