/** Rollouts in a training: what batches hold, resuming, and gradients against an enumerated world. */
import { describe, expect, test } from "bun:test";
import { overlongPenalty } from "../../../src/align/policies/advantages.ts";
import type { SharedValues } from "../../../src/align/policies/contract.ts";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import type { Model } from "../../../src/model/model.ts";
import { Scorer } from "../../../src/run/scoring/scorer.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import type { StepResult } from "../../../src/run/training/trainer.ts";
import { copyState, type SavedTraining } from "../../../src/run/training/training-state.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { bound, END, policyWorld, term, tinyModel, tokensOf, type World } from "./world.ts";

const gpu = await sharedGpu();
const PROMPTS = [[1], [2], [3], [4, 5], [6]];
const hasA = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));
const valuesOf = (model: Model) =>
  Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));

type Asked = Omit<World, "model" | "chosen" | "prompts"> & {
  readonly method?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly prompts?: World["prompts"];
  readonly model?: Model;
};

const worldOf = async ({ method = "grpo", settings = {}, prompts = PROMPTS, model, ...world }: Asked) => {
  const own = model ?? (await tinyModel(gpu));
  const chosen = await bound(method, { group: 4, max_new_tokens: 6, prompts_per_step: 4, ...settings });
  return { model: own, ...policyWorld({ rows: 4, accumulate: 2, ...world, model: own, chosen, prompts }) };
};

interface Place {
  readonly weights: readonly Float32Array[];
  readonly training: SavedTraining;
}

/** Trains to step `to`, from a place, and saves where it ends; tells of every step. */
async function train(asked: Asked, to: number, from?: Place, lr = 1e-2) {
  const world = await worldOf(asked);
  for (const [i, parameter] of world.model.trainable().entries()) if (from) parameter.write(from.weights[i]!);
  const training = await Training.make({
    model: world.model,
    source: world.source,
    objective: world.objective,
    controllers: [world.controller],
    extra: world.head?.parameters() ?? [],
    optimizer: bindDefaults(adamw),
    rate: () => lr,
    steps: to,
    accumulate: asked.accumulate ?? 2,
    seed: 0,
  });
  if (from) await training.load(from.training);
  const steps: StepResult[] = [];
  const { signal } = new AbortController();
  try {
    await training.run({ signal, onStep: (step) => steps.push(step) });
    const weights = await valuesOf(world.model);
    return { steps, place: { weights, training: await copyState(gpu, training.state()) } };
  } finally {
    await training.free();
    world.free();
    world.model.free();
  }
}

describe("resuming", () => {
  // Four updates of a rollout: two passes of two.
  const settings = { updates: 2, kl: 0.01 };
  const asked = async (): Promise<Asked> => ({ terms: [hasA], settings, reference: await tinyModel(gpu) });

  test("between the updates of a rollout and between rollouts gives the same bytes", async () => {
    const whole = await train(await asked(), 9);
    for (const at of [1, 3, 4, 6]) {
      const first = await train(await asked(), at);
      const rest = await train(await asked(), 9, first.place);
      expect(rest.place.weights).toEqual(whole.place.weights);
      expect(rest.steps.map(({ metrics }) => metrics)).toEqual(whole.steps.slice(at).map(({ metrics }) => metrics));
    }
  });

  test("with a value head and an adaptive divergence gives the same bytes", async () => {
    const ppo = async (): Promise<Asked> => ({
      ...(await asked()),
      method: "ppo",
      settings: { updates: 2, kl: 0.1, kl_target: 0.5, kl_horizon: 50 },
    });
    const whole = await train(await ppo(), 9);
    const first = await train(await ppo(), 6);
    const rest = await train(await ppo(), 9, first.place);
    expect(rest.place.weights).toEqual(whole.place.weights);
    const weight = ({ training }: Place) => (training.progress.states.rollout as { kl: number }).kl;
    expect(weight(rest.place)).toBe(weight(whole.place));
    expect(weight(whole.place)).not.toBe(0.1);
  });

  test("with multipliers of rewards gives the same bytes", async () => {
    const short = term("short", ({ tokens }) => (tokens! < 4 ? 1 : 0));
    const thresholds = { reward_weights: "constrained", thresholds: [0.9, 0.9], multiplier_lr: 5 };
    const constrained = async (): Promise<Asked> => ({
      ...{ ...(await asked()), terms: [hasA, short] },
      settings: { updates: 2, kl: 0.1, kl_in: "reward", ...thresholds },
    });
    const whole = await train(await constrained(), 9);
    const first = await train(await constrained(), 6);
    const rest = await train(await constrained(), 9, first.place);
    expect(rest.place.weights).toEqual(whole.place.weights);
    expect(rest.place.training.progress.states.rollout).toEqual(whole.place.training.progress.states.rollout);
    const told = whole.steps.map(({ metrics }) => metrics["multiplier.short"]!);
    expect([told[0]! - 0.5 < 0.05, told.at(-1)! > told[0]!]).toEqual([true, true]);
  });

  test("after a rollout that was under way draws it again", async () => {
    const whole = await train(await asked(), 8);
    const first = await train(await asked(), 4);
    let judged = 0;
    const dying = term("a", () => {
      if (++judged > 9) throw new Error("killed");
      return 0;
    });
    expect(train({ ...(await asked()), terms: [dying] }, 8, first.place)).rejects.toThrow("killed");
    const rest = await train(await asked(), 8, first.place);
    expect(rest.place.weights).toEqual(whole.place.weights);
  });

  test("a state without a rollout is refused", async () => {
    const { place } = await train(await asked(), 1);
    const { progress } = place.training;
    const damaged = { ...place.training, progress: { ...progress, states: { rollout: { made: 1 } } } };
    expect(train(await asked(), 2, { ...place, training: damaged })).rejects.toThrow("which rollout comes next");
  });
});

test("ratios are 1 in the first update, and in every one whose weights are those that sampled", async () => {
  const { steps } = await train({ terms: [hasA], settings: { updates: 2 } }, 8);
  const told = steps.map(({ metrics }) => metrics.old_kl!);
  expect([told[0], told[4]]).toEqual([0, 0]);
  expect(Math.min(...[1, 2, 3, 5].map((i) => told[i]!))).toBeGreaterThan(1e-6);
  expect(steps[0]!.metrics).toMatchObject({ clip_low: 0, clip_high: 0 });
  const still = await train({ terms: [hasA], settings: { updates: 2 } }, 8, undefined, 1e-30);
  expect(Math.max(...still.steps.map(({ metrics }) => Math.abs(metrics.old_kl!)))).toBeLessThan(1e-12);
});

test("the divergence from the model as it was is 0 at first, and its weight holds the model back", async () => {
  const run = async (kl: number) =>
    (await train({ terms: [hasA], settings: { kl }, reference: await tinyModel(gpu) }, 12)).steps.map(
      ({ metrics }) => metrics.kl!,
    );
  const [light, heavy] = [await run(1e-6), await run(2)];
  expect(light[0]).toBe(0);
  expect(light.at(-1)).toBeGreaterThan(4 * heavy.at(-1)!);
});

test("with --kl-in reward the divergence is taken off the reward of every answer", async () => {
  // The reference is another model: k1 of an answer is not 0.
  const reference = await tinyModel(gpu, 8, 9);
  const settings = { kl: 0.1, kl_in: "reward", scale_rewards: "none" };
  const world = await worldOf({ terms: [hasA], settings, reference });
  const { held } = await world.maker.make(1, counting());
  for (let from = 0; from < held.answers.length; from += 4) {
    const group = held.answers.slice(from, from + 4);
    const rewards: number[] = [];
    for (const answer of group) {
      const sequence = world.maker.sequence(answer);
      const theirs = await scored(reference, [sequence]);
      const own = await scored(world.model, [sequence]);
      rewards.push((answer.ids.includes(1) ? 1 : 0) - 0.1 * (theirs[0]! - own[0]!));
    }
    const mean = rewards.reduce((a, b) => a + b, 0) / 4;
    for (const [i, { advantage }] of group.entries()) expect(advantage).toBeCloseTo(rewards[i]! - mean, 4);
  }
  for (const one of [world, world.model, reference]) one.free();
});

/** Prompts in turn. */
function counting() {
  let drawn = 0;
  return () => ({ prompt: drawn++ % PROMPTS.length, epoch: 0 });
}

/** -log likelihood of what counts of each sequence. */
async function scored(model: Model, sequences: readonly Parameters<typeof collate>[0][number][number][]) {
  const scorer = new Scorer(model);
  const batch = collate(sequences.map((sequence) => [sequence]));
  const { nll } = await scorer.score(batch);
  await scorer.free();
  return sequences.map((_, row) =>
    nll.subarray(row * batch.length, (row + 1) * batch.length).reduce((sum, x) => sum + x, 0),
  );
}

describe("batches", () => {
  test("hold every answer once in each pass, with its advantage", async () => {
    const world = await worldOf({ terms: [hasA], settings: { updates: 2 } });
    const { held } = await world.maker.make(1, counting());
    const batches: Awaited<ReturnType<typeof world.source.next>>[] = [];
    for (let i = 0; i < 8; i++) batches.push(await world.source.next());
    for (const pass of [batches.slice(0, 4), batches.slice(4)]) {
      const seen = pass.flatMap(({ batch }) => batch.tokens.documents.map(({ sequence }) => sequence.ids.join()));
      expect(new Set(seen).size).toBeLessThanOrEqual(16);
      expect(seen).toHaveLength(16);
    }
    expect(held.answers).toHaveLength(16);
    const [first, second] = batches.map(({ batch }) => batch);
    // Both are of the first update: the model still is the one that sampled.
    expect([first!.old, second!.old]).toEqual([undefined, undefined]);
    expect(batches[2]!.batch.old).toBeDefined();
    world.free();
    world.model.free();
  });

  test("a truncated answer that is masked weighs nothing", async () => {
    const free = await worldOf({ terms: [hasA], rows: 16, accumulate: 1 });
    const masked = await worldOf({ terms: [hasA], rows: 16, accumulate: 1, settings: { mask_truncated: true } });
    const [all, some] = [(await free.source.next()).batch, (await masked.source.next()).batch];
    const rowsIn = (batch: typeof all) => new Set(tokensOf(batch).map(({ row }) => row));
    const isCut = all.tokens.documents.map(({ sequence }) => sequence.ids.at(-1) !== END);
    expect(isCut).toContain(true);
    expect([...rowsIn(all)]).toEqual([...isCut.keys()]);
    expect([...rowsIn(some)]).toEqual([...isCut.keys()].filter((row) => !isCut[row]));
    for (const world of [free, masked]) {
      world.free();
      world.model.free();
    }
  });
});

describe("dynamic sampling", () => {
  /** Differs within the groups of some prompts alone. */
  const some = () => {
    let judged = 0;
    return term("some", ({ place }) => (place === "world:2" || place === "world:4" ? judged++ % 2 : 1));
  };
  const settings = { dynamic_sampling: true, dynamic_rounds: 4 };

  test("keeps exactly the groups whose rewards differ, and draws others in their place", async () => {
    const world = await worldOf({ terms: [some()], settings });
    const { held, lines } = await world.maker.make(1, counting());
    expect(held.answers.filter(({ isFiller }) => isFiller)).toEqual([]);
    const rewards = Map.groupBy(lines, ({ place }) => place);
    for (let from = 0; from < 16; from += 4) {
      const group = held.answers.slice(from, from + 4);
      expect(group.map(({ advantage }) => Math.sign(advantage as number)).sort()).toEqual([-1, -1, 1, 1]);
      expect([1, 3]).toContain(group[0]!.prompt);
    }
    for (const line of lines) if (line.place !== "world:2" && line.place !== "world:4") expect(line.used).toBe(false);
    expect(rewards.size).toBe(5);
    world.free();
    world.model.free();
  });

  test("fills up with answers that count nothing once its rounds are over", async () => {
    const world = await worldOf({
      terms: [some()],
      settings: { ...settings, dynamic_rounds: 0 },
      rows: 16,
      accumulate: 1,
    });
    const { held } = await world.maker.make(1, counting());
    const kept = held.answers.filter(({ isFiller }) => !isFiller);
    expect(new Set(kept.map(({ prompt }) => prompt))).toEqual(new Set([1, 3]));
    expect(held.answers).toHaveLength(16);
    const { batch } = await world.source.next();
    const total = tokensOf(batch).reduce((sum, { weight }) => sum + weight, 0);
    expect(total).toBeCloseTo(1, 5);
    world.free();
    world.model.free();
  });
});

test("dapo with one range, means over answers and all groups is grpo", async () => {
  const terms = [hasA];
  const alike = { clip_high: 0.2, aggregate: "seq-mean", dynamic_sampling: false, updates: 2 };
  const [dapo, grpo] = [
    await train({ method: "dapo", terms, settings: alike }, 6),
    await train({ method: "grpo", terms, settings: { updates: 2 } }, 6),
  ];
  expect(dapo.place.weights).toEqual(grpo.place.weights);
  const high = await train({ method: "dapo", terms, settings: { ...alike, clip_high: 0.28 } }, 6);
  expect(high.place.weights).not.toEqual(grpo.place.weights);
});

test("the penalty of long answers is continuous, grows evenly and ends at 1", () => {
  const at = Array.from({ length: 14 }, (_, tokens) => overlongPenalty(tokens, 12, 5));
  expect(at.slice(0, 8)).toEqual(Array(8).fill(0));
  for (let i = 1; i < at.length; i++)
    expect([0, 0.2].some((d) => Math.abs(at[i]! - at[i - 1]! - d) < 1e-12)).toBe(true);
  expect([at[12], at[13]]).toEqual([1, 1]);
  expect(overlongPenalty(12, 12, 0)).toBe(0);
});

describe("the gradient of a world of three tokens, whose answers can be counted", () => {
  const [A, B, PROMPT] = [1, 2, 1];
  const ANSWERS = [[END], [A, END], [A, A], [A, B], [B, END], [B, A], [B, B]];
  const worth = (ids: readonly number[]) =>
    ids.join() === "1,2" ? 2 : ids.join() === "2,0" ? 1 : ids[0] === A ? 0.5 : 0;
  const text = (ids: readonly number[]) => ids.map((id) => ["", "a", "b"][id]).join("");
  const values = new Map(ANSWERS.map((ids) => [`${text(ids)} ${ids.length}`, worth(ids)]));
  const judged = term("worth", ({ answer, tokens }) => values.get(`${answer} ${tokens}`)!);
  const DIRECTIONS = 6;
  const UPDATES = 60;

  /** The expected reward of a model. */
  async function expected(model: Model): Promise<number> {
    const losses = await scored(
      model,
      ANSWERS.map((ids) => {
        const all = Int32Array.of(PROMPT, ...ids);
        return { ids: all, labels: all.map((id, i) => (i === 0 ? -100 : id)), group: 0, place: "" };
      }),
    );
    expect(losses.reduce((sum, loss) => sum + Math.exp(-loss), 0)).toBeCloseTo(1, 5);
    return losses.reduce((sum, loss, i) => sum + Math.exp(-loss) * worth(ANSWERS[i]!), 0);
  }

  /** How much longer the expected gradient of a method is than that of the expected reward. */
  const FACTORS: Readonly<Record<string, (values: SharedValues) => number>> = {
    reinforce: () => 1,
    rloo: () => 1,
    remax: () => 1,
    // The mean of a group holds the answer itself, and sums are divided by the largest length.
    "dr-grpo": ({ group, max_new_tokens: longest }) => (group - 1) / group / longest,
  };

  test.each(Object.keys(FACTORS))("%s follows the expected reward within sampling error", async (name) => {
    const model = await tinyModel(gpu, 3, 1);
    const weights = await valuesOf(model);
    const directions = Array.from({ length: DIRECTIONS }, (_, k) =>
      weights.map((w, i) => normals(100 * k + i, w.length)),
    );
    const slopes: number[] = [];
    for (const direction of directions) {
      const at = async (h: number) => {
        for (const [i, parameter] of model.trainable().entries())
          parameter.write(weights[i]!.map((w, j) => w + h * direction[i]![j]!));
        return expected(model);
      };
      const h = 5e-3;
      slopes.push(((await at(h)) - (await at(-h))) / (2 * h));
    }
    for (const [i, parameter] of model.trainable().entries()) parameter.write(weights[i]!);

    const settings = { group: 4, max_new_tokens: 2, prompts_per_step: 8 };
    const chosen = await bound(name, settings);
    const world = policyWorld({ model, chosen, prompts: [[PROMPT]], terms: [judged], rows: 32 });
    const found = directions.map((): number[] => []);
    const programs = new Map<string, Program>();
    for (let update = 0; update < UPDATES; update++) {
      const { batch } = await world.source.next();
      const key = world.objective.key(batch);
      let program = programs.get(key);
      if (!program) {
        const rec = new Recorder(profileOf(gpu));
        rec.backward(world.objective.record(rec, batch, "").backward);
        program = await Program.compile(gpu, rec);
        programs.set(key, program);
      }
      world.objective.fill(program, batch, 1, "");
      program.run({ accumulate: 0, seed: 0, kl_weight: 0 });
      const gradients = await Promise.all(
        model.trainable().map(({ gradient, size }) => gpu.readFloats(gradient, size)),
      );
      for (const [k, direction] of directions.entries())
        found[k]!.push(
          -gradients.reduce((sum, g, i) => sum + g.reduce((all, x, j) => all + x * direction[i]![j]!, 0), 0),
        );
    }
    const factor = FACTORS[name]!(chosen.values);
    for (const [k, along] of found.entries()) {
      const mean = along.reduce((a, b) => a + b, 0) / UPDATES;
      const error = Math.sqrt(along.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (UPDATES - 1) / UPDATES);
      expect(Math.abs(mean - factor * slopes[k]!)).toBeLessThan(4 * error);
      // An error that hides the slope would show nothing.
      if (k === 0) expect(error).toBeLessThan(0.3 * Math.max(...slopes.map(Math.abs)) * factor);
    }
    for (const program of programs.values()) program.free();
    world.free();
    model.free();
  });
});
