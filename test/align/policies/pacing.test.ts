/** What changes from rollout to rollout: a temperature that follows the entropy, and limits that grow in stages. */
import { describe, expect, test } from "bun:test";
import type { SharedValues } from "../../../src/align/policies/contract.ts";
import { checkEntropyTarget, nextTemperature } from "../../../src/align/policies/entropy-target.ts";
import { LengthStages, lengthStages } from "../../../src/align/policies/length-stages.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { entropyOf } from "../../../src/run/generating/rollouts.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import type { StepResult } from "../../../src/run/training/trainer.ts";
import { copyState, type SavedTraining } from "../../../src/run/training/training-state.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { bound, END, policyWorld, term, tinyModel, tokensOf } from "./world.ts";

const gpu = await sharedGpu();
const hasA = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));
const valuesWith = async (settings: Readonly<Record<string, unknown>>): Promise<SharedValues> =>
  (await bound("grpo", settings)).values;

interface Place {
  readonly weights: readonly Float32Array[];
  readonly training: SavedTraining;
}

async function train(
  settings: Readonly<Record<string, unknown>>,
  to: number,
  { lr = 1e-2, from = undefined as Place | undefined } = {},
) {
  const model = await tinyModel(gpu);
  for (const [i, parameter] of model.trainable().entries()) if (from) parameter.write(from.weights[i]!);
  const chosen = await bound("grpo", { group: 4, max_new_tokens: 6, prompts_per_step: 4, ...settings });
  const prompts = [[1], [2], [3], [4, 5], [6]];
  const world = policyWorld({ model, chosen, prompts, terms: [hasA], rows: 8, accumulate: 1 });
  const training = await Training.make({
    ...{ model, source: world.source, objective: world.objective, controllers: [world.controller], extra: [] },
    ...{ optimizer: bindDefaults(adamw), rate: () => lr, steps: to, accumulate: 1, seed: 0 },
  });
  if (from) await training.load(from.training);
  const steps: StepResult[] = [];
  await training.run({ signal: new AbortController().signal, onStep: (step) => steps.push(step) });
  const weights = await Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const place = { weights, training: await copyState(gpu, training.state()) };
  await training.free();
  world.free();
  model.free();
  return { told: steps.map(({ metrics }) => metrics), place };
}

describe("the temperature", () => {
  test("rises below the target, falls above it, stays at it, at a rate of 0 and within its range", async () => {
    const values = await valuesWith({ target_entropy: 0.3, temperature_rate: 0.5 });
    expect(nextTemperature(0.8, 0.1, values)).toBeCloseTo(0.8 * Math.exp(0.1), 12);
    expect(nextTemperature(0.8, 0.5, values)).toBeCloseTo(0.8 * Math.exp(-0.1), 12);
    expect(nextTemperature(0.8, 0.3, values)).toBe(0.8);
    expect(nextTemperature(1.19, 0, values)).toBe(1.2);
    expect(nextTemperature(0.61, 3, values)).toBe(0.6);
    expect(nextTemperature(0.8, 0.1, { ...values, temperature_rate: 0 })).toBe(0.8);
    expect(nextTemperature(0.8, 0.1, await valuesWith({}))).toBe(0.8);
  });

  test("of given logits raises their entropy", () => {
    for (let seed = 0; seed < 20; seed++) {
      const logits = normals(seed, 30).map((x) => 3 * x);
      const entropies = [0.3, 0.6, 0.8, 1, 1.2, 3].map((t) => entropyOf(logits, t));
      expect(entropies).toEqual(entropies.toSorted((a, b) => a - b));
    }
  });

  test("holds the entropy of a model near the target", async () => {
    const near = async (target: number) => {
      const model = await tinyModel(gpu);
      const settings = {
        target_entropy: target,
        temperature_rate: 0.8,
        temperature_range: [0.2, 8],
        max_new_tokens: 6,
      };
      const chosen = await bound("grpo", settings);
      const world = policyWorld({
        model,
        chosen,
        prompts: [[1], [2], [3], [6]],
        terms: [hasA],
        rows: 32,
        accumulate: 1,
      });
      for (let rollout = 0; rollout < 16; rollout++) await world.source.next();
      world.free();
      model.free();
      const late = world.told.slice(8).map((own) => own.sampled_entropy!);
      expect(Math.abs(late.reduce((a, b) => a + b, 0) / late.length - target)).toBeLessThan(0.15);
      return world.told.at(-1)!.temperature!;
    };
    expect(await near(0.4)).toBeLessThan(await near(1.2));
  });

  test("is that of likelihoods, too: ratios are 1 in later updates where the model has not moved", async () => {
    const settings = { target_entropy: 1.5, temperature_rate: 0.5, updates: 2, temperature_range: [0.5, 3] };
    const { told } = await train(settings, 8, { lr: 0 });
    for (const own of told) expect(Math.abs(own.old_kl!)).toBeLessThan(1e-10);
    expect(told[4]!.temperature).toBeGreaterThan(told[0]!.temperature!);
    // What a rollout was sampled at is what its steps say.
    for (const own of told)
      expect(own.inverse_temperature ?? 1 / own.temperature!).toBeCloseTo(1 / own.temperature!, 12);
  });

  test("at a rate of 0 is the fixed one", async () => {
    const fixed = await train({ temperature: 0.8 }, 4);
    const still = await train({ temperature: 0.8, target_entropy: 0.3, temperature_rate: 0 }, 4);
    for (const [i, weights] of still.place.weights.entries())
      for (const [j, w] of weights.entries()) expect(Math.abs(w - fixed.place.weights[i]![j]!)).toBeLessThan(1e-5);
  });

  test.each<[string, Readonly<Record<string, unknown>>, string]>([
    ["grpo", { temperature_range: [1] }, "is no range"],
    ["grpo", { temperature_range: [2, 3] }, "--temperature 1 is outside --temperature-range 2,3"],
    ["raft", {}, "raft takes likelihoods at temperature 1"],
    ["grpo", { buffer: "ssb", kl: 0.1 }, "--buffer mixes with --target-entropy"],
  ])("%s refuses %o", async (name, settings, problem) => {
    const [held, without] = [await bound(name, { target_entropy: 0.3, ...settings }), await bound(name, settings)];
    expect(() => checkEntropyTarget(held)).toThrow(problem);
    expect(() => checkEntropyTarget(without)).not.toThrow();
  });
});

describe("stages", () => {
  const stages = () => new LengthStages([2, 4, 6], 2, 3);

  test("give every rollout its limit; what all but the last one cut is masked", () => {
    const limits = [1, 2, 3, 4, 5, 6, 99].map((number) => stages().limit(number));
    expect(limits.map(({ tokens }) => tokens)).toEqual([2, 2, 4, 4, 6, 6, 6]);
    expect(limits.map(({ masks }) => masks)).toEqual([true, true, true, true, false, false, false]);
  });

  test("leave out what was always solved in a stage, and never everything", () => {
    const own = stages();
    const heard = (number: number, ...solved: readonly (readonly [number, boolean])[]) =>
      own.heard(
        number,
        solved.map(([prompt, is]) => ({ prompt, solved: is })),
      );
    heard(1, [0, true], [1, true]);
    expect([0, 1, 2].map((prompt) => own.isLeftOut(prompt))).toEqual([false, false, false]);
    heard(2, [1, false], [2, false]);
    expect([0, 1, 2].map((prompt) => own.isLeftOut(prompt))).toEqual([true, false, false]);
    const again = stages();
    again.load(JSON.parse(JSON.stringify(own.state())));
    expect(again.state()).toEqual(own.state());
    heard(3, [1, true], [2, true]);
    heard(4);
    expect([0, 1, 2].map((prompt) => own.isLeftOut(prompt))).toEqual([true, false, false]);
    for (const state of [null, {}, { seen: [[1]], left: [] }, { seen: [], left: ["a"] }])
      expect(() => stages().load(state as never)).toThrow("--length-stages cannot be read");
  });

  test("limit the answers of a training, mask those that are cut, and count them for nothing at the end", async () => {
    const model = await tinyModel(gpu);
    const settings = { group: 4, max_new_tokens: 6, length_stages: [2, 6], stage_rollouts: 1 };
    const chosen = await bound("grpo", settings);
    const always = term("one", () => 1);
    const world = policyWorld({ model, chosen, prompts: [[1], [2]], terms: [always], rows: 8, accumulate: 1 });
    const first = (await world.source.next()).batch;
    const last = (await world.source.next()).batch;
    const isCut = (batch: typeof first) => batch.tokens.documents.map(({ sequence }) => sequence.ids.at(-1) !== END);
    expect([world.told[0], world.told[1]]).toMatchObject([
      { stage: 1, limit: 2 },
      { stage: 2, limit: 6 },
    ]);
    expect(Math.max(...first.tokens.documents.map(({ sequence }) => sequence.ids.length))).toBeLessThanOrEqual(3);
    expect(isCut(first)).toContain(true);
    const counted = new Set(tokensOf(first).map(({ row }) => row));
    expect([...counted].sort()).toEqual([...isCut(first).keys()].filter((row) => !isCut(first)[row]));
    // At the end they count, and are worth 0 where others are worth 1.
    const cut = isCut(last);
    expect(new Set(tokensOf(last).map(({ row }) => row)).size).toBe(8);
    for (let from = 0; from < 8; from += 4) {
      const own = tokensOf(last).filter(({ row }) => row >= from && row < from + 4);
      if (new Set(cut.slice(from, from + 4)).size < 2) continue;
      for (const { row, advantage } of own) expect(Math.sign(advantage)).toBe(cut[row] ? -1 : 1);
    }
    world.free();
    model.free();
  });

  test("and a temperature that follows the entropy resume in the same bytes", async () => {
    const settings = { length_stages: [3, 6], stage_rollouts: 2, target_entropy: 1, temperature_range: [0.5, 2] };
    const whole = await train(settings, 9);
    for (const at of [3, 4]) {
      const first = await train(settings, at);
      const rest = await train(settings, 9, { from: first.place });
      expect(rest.place.weights).toEqual(whole.place.weights);
      expect(rest.place.training.progress.states).toEqual(whole.place.training.progress.states);
      expect(rest.told).toEqual(whole.told.slice(at));
    }
  });

  test.each([
    [[8, 4], "--length-stages 8,4 do not grow"],
    [[4, 8.5], "do not grow"],
    [[4, 8], "end at another limit than --max-new-tokens 64"],
  ])("%p are refused", async (own, problem) => {
    const values = await valuesWith({ length_stages: own });
    expect(() => lengthStages(values, 1)).toThrow(problem);
  });
});
