/** The selective sample buffer: what it keeps, how often it gives it, and a training that resumes with it. */
import { describe, expect, test } from "bun:test";
import type { HeldAnswer, HeldRollout } from "../../../src/align/policies/held-rollout.ts";
import { checkBuffer, SampleBuffer, teaches } from "../../../src/align/policies/sample-buffer.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import type { StepResult } from "../../../src/run/training/trainer.ts";
import { copyState, type SavedTraining } from "../../../src/run/training/training-state.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { bound, policyWorld, term, tinyModel } from "./world.ts";

const gpu = await sharedGpu();
const answer = (id: number, advantage: HeldAnswer["advantage"], more: Partial<HeldAnswer> = {}): HeldAnswer => ({
  ...{ prompt: 0, ids: [id, 0], advantage, old: [-1, -2] },
  ...more,
});
const rollout = (number: number, answers: readonly HeldAnswer[]): HeldRollout => ({
  ...{ number, epoch: 0, answers, told: {} },
});
const idsOf = ({ answers }: HeldRollout) => answers.map(({ ids }) => ids[0]!);

describe("the buffer", () => {
  test("is empty at first and leaves a rollout as it is", () => {
    const buffer = new SampleBuffer({ size: 8, age: 3, seed: 0 });
    const first = rollout(1, [answer(1, 0.5), answer(2, 0), answer(3, -0.5)]);
    const filled = buffer.refill(first);
    expect(filled.answers).toEqual(first.answers);
    expect(filled.told).toEqual({ buffered: 2, drawn_again: 0, drawn_age: 0 });
  });

  test("gives answers that teach the places of those that do not, none twice, with the rollout they are of", () => {
    const buffer = new SampleBuffer({ size: 8, age: 3, seed: 0 });
    buffer.refill(rollout(1, [answer(1, 0.5), answer(2, 0), answer(3, -0.5), answer(4, 9, { uncounted: true })]));
    const masked = answer(6, 2, { uncounted: true });
    const filled = buffer.refill(rollout(2, [answer(5, 0), answer(7, 1), masked, answer(8, 0)]));
    expect(idsOf(filled).filter((id) => id !== 7)).toEqual(expect.arrayContaining([1, 3]));
    // Two are all that there were: the last place stays as it was.
    expect([filled.answers[1]!.ids[0], filled.answers[3]!.ids[0]]).toEqual([7, 8]);
    expect(filled.answers.map((own) => own.rollout)).toEqual([1, undefined, 1, undefined]);
    expect(filled.answers[0]!.old).toEqual([-1, -2]);
    expect(filled.told).toMatchObject({ buffered: 3, drawn_again: 0.5, drawn_age: 1 });
  });

  test("never keeps an answer that teaches nothing, and of too many keeps the largest, of old ones none", () => {
    const buffer = new SampleBuffer({ size: 3, age: 2, seed: 0 });
    buffer.refill(
      rollout(
        1,
        [1, 2, 3, 4].map((id) => answer(id, id % 2 ? id : -id)),
      ),
    );
    const kept = () => (buffer.state() as unknown as HeldAnswer[]).map(({ ids }) => ids[0]!).sort();
    expect(kept()).toEqual([2, 3, 4]);
    buffer.refill(rollout(2, [answer(9, [0.5, -4.5]), answer(8, 0), answer(7, [0, 0])]));
    expect(kept()).toEqual([3, 4, 9]);
    buffer.refill(rollout(4, [answer(6, 0)]));
    expect(kept()).toEqual([9]);
    expect([answer(1, [0, -3]), answer(1, 1e-17), answer(1, 2, { uncounted: true })].map(teaches)).toEqual([1.5, 0, 0]);
  });

  test("draws in proportion to the size of advantages", () => {
    const sizes = [0.5, -1, 2, -4];
    const counts = [0, 0, 0, 0];
    const draws = 4000;
    for (let seed = 0; seed < draws; seed++) {
      const buffer = new SampleBuffer({ size: 8, age: 9, seed });
      buffer.refill(
        rollout(
          1,
          sizes.map((advantage, id) => answer(id, advantage)),
        ),
      );
      counts[idsOf(buffer.refill(rollout(2, [answer(9, 0)])))[0]!]!++;
    }
    for (const [i, count] of counts.entries()) {
      const share = Math.abs(sizes[i]!) / 7.5;
      expect(Math.abs(count / draws - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / draws));
    }
  });

  test("refuses a state that holds no answers", () => {
    const buffer = new SampleBuffer({ size: 2, age: 1, seed: 0 });
    const one = { ...answer(1, 1), rollout: 1 };
    for (const state of [null, {}, [{}], [answer(1, 1)], [one, one, one]])
      expect(() => buffer.load(state as never)).toThrow("saved answers of --buffer");
    buffer.load([one] as never);
  });

  test.each(["raft", "online-dpo", "ppo"])("is refused of %s", async (name) => {
    const [chosen, without] = [await bound(name, { buffer: "ssb" }), await bound(name)];
    expect(() => checkBuffer(chosen)).toThrow("--buffer mixes answers of many rollouts");
    expect(() => checkBuffer(without)).not.toThrow();
  });
});

/** Worth different amounts in one of four prompts alone: three groups in four teach nothing. */
const mostlyEqual = term("odd", ({ answer: text, place }) => (place === "world:2" ? codeAt(text, 1) % 2 : 0));
const codeAt = (text: string, i: number) => text.charCodeAt(i) || 0;
const SETTINGS = { temperature: 3, group: 4, max_new_tokens: 4, prompts_per_step: 4 };

interface Place {
  readonly weights: readonly Float32Array[];
  readonly training: SavedTraining;
}

async function train(settings: Readonly<Record<string, unknown>>, to: number, from?: Place, reward = mostlyEqual) {
  const model = await tinyModel(gpu);
  for (const [i, parameter] of model.trainable().entries()) if (from) parameter.write(from.weights[i]!);
  const chosen = await bound("grpo", { ...SETTINGS, ...settings });
  const world = policyWorld({ model, chosen, prompts: [[1], [2], [3], [4]], terms: [reward], rows: 8, accumulate: 1 });
  const training = await Training.make({
    ...{ model, source: world.source, objective: world.objective, controllers: [world.controller], extra: [] },
    ...{ optimizer: bindDefaults(adamw), rate: () => 1e-2, steps: to, accumulate: 1, seed: 0 },
  });
  if (from) await training.load(from.training);
  const steps: StepResult[] = [];
  await training.run({ signal: new AbortController().signal, onStep: (step) => steps.push(step) });
  const weights = await Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const place = { weights, training: await copyState(gpu, training.state()) };
  await training.free();
  world.free();
  model.free();
  return { steps, place };
}

describe("a training with it", () => {
  test("is that without it while nothing is drawn again", async () => {
    const plain = await train({}, 2);
    const buffered = await train({ buffer: "ssb" }, 2);
    expect(buffered.place.weights).toEqual(plain.place.weights);
    // Answers that all differ leave no place.
    const all = term("length", ({ answer: text, tokens }) => codeAt(text, 0) + 0.1 * codeAt(text, 1) + 0.01 * tokens!);
    const told = (await train({ buffer: "ssb" }, 4, undefined, all)).steps.map(({ metrics }) => metrics.drawn_again!);
    expect(told[0]).toBe(0);
  });

  test("keeps its gradient where most groups of new answers have none", async () => {
    const [plain, buffered] = [await train({}, 12), await train({ buffer: "ssb" }, 12)];
    const idle = ({ steps }: typeof plain) => steps.filter(({ gradNorm }) => gradNorm === 0).length;
    expect([idle(plain) > 0, idle(buffered)]).toEqual([true, 0]);
    const later = buffered.steps.slice(2).map(({ metrics }) => metrics);
    expect(Math.min(...later.map((own) => own.drawn_again!))).toBeGreaterThan(0.2);
    expect(Math.max(...later.map((own) => own.drawn_age!))).toBeLessThanOrEqual(4);
    // The model has moved since they were sampled, and their ratios know.
    expect(Math.min(...later.map((own) => own.old_kl!))).toBeGreaterThan(0);
  });

  test("resumes in the same bytes between rollouts and within one", async () => {
    const whole = await train({ buffer: "ssb" }, 9);
    for (const at of [4, 5]) {
      const first = await train({ buffer: "ssb" }, at);
      const rest = await train({ buffer: "ssb" }, 9, first.place);
      expect(rest.place.weights).toEqual(whole.place.weights);
      expect(rest.place.training.progress.states).toEqual(whole.place.training.progress.states);
    }
  });

  test("ratios of answers that are drawn again are 1 where the model has not moved", async () => {
    const model = await tinyModel(gpu);
    const chosen = await bound("grpo", { ...SETTINGS, buffer: "ssb" });
    const world = policyWorld({ model, chosen, prompts: [[1], [2], [3], [4]], terms: [mostlyEqual], rows: 16 });
    const training = await Training.make({
      ...{ model, source: world.source, objective: world.objective, controllers: [world.controller], extra: [] },
      ...{ optimizer: bindDefaults(adamw), rate: () => 0, steps: 3, accumulate: 1, seed: 0 },
    });
    const steps: StepResult[] = [];
    await training.run({ signal: new AbortController().signal, onStep: (step) => steps.push(step) });
    expect(steps[2]!.metrics.drawn_again).toBeGreaterThan(0.2);
    for (const { metrics } of steps) expect(Math.abs(metrics.old_kl!)).toBeLessThan(1e-10);
    await training.free();
    world.free();
    model.free();
  });
});
