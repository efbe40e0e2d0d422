/** The loss of pairs beside a policy's own: which answers are pairs, its value and gradient, and what it refuses. */
import { describe, expect, test } from "bun:test";
import type { HeldAnswer } from "../../../src/align/policies/held-rollout.ts";
import { policyLoss } from "../../../src/align/policies/objective.ts";
import { choosePairTerm } from "../../../src/align/policies/pair-choice.ts";
import { pairPlaces, pairsOf } from "../../../src/align/policies/pair-term.ts";
import { rewardMean } from "../../../src/align/preferences/reward-mean.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import type { StepResult } from "../../../src/run/training/trainer.ts";
import { copyState, type SavedTraining } from "../../../src/run/training/training-state.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { bound, policyWorld, term, tinyModel } from "./world.ts";

const gpu = await sharedGpu();
const NONE = { options: {}, picks: { pair_loss: [] } } as unknown as Parameters<typeof choosePairTerm>[0];
const withLosses = async (...names: string[]) =>
  ({
    options: { pair_loss: names },
    picks: {
      pair_loss: await Promise.all(names.map(async (name) => bindDefaults(await loadMethod("pair-loss", name)))),
    },
  }) as unknown as typeof NONE;

test("the best and the worst answer of each group are its pair, and groups worth the same have none", () => {
  const rewards = Float64Array.of(1, 0, 2, 0, /**/ 3, 3, 3, 3, /**/ 0, 0, 5, 1);
  expect(pairsOf({ rewards, group: 4 })).toEqual([0, -1, 1, 0, 0, 0, 0, 0, -1, 0, 1, 0]);
});

test("pairs of an update weigh alike, and one of which half is masked is none", () => {
  const group = (pairs: readonly number[], masked = -1) =>
    pairs.map(
      (pair, i): HeldAnswer => ({
        ...{ prompt: 0, ids: [1], advantage: 0 },
        ...(pair ? { pair: pair as 1 | -1 } : {}),
        ...(i === masked ? { uncounted: true } : {}),
      }),
    );
  const micro = [
    [...group([1, -1, 0]), ...group([0, 0, 0])],
    [...group([0, 1, -1]), ...group([-1, 0, 1], 2)],
  ];
  const lists = ({ best, worst, pairs }: ReturnType<typeof pairPlaces>) => [best, worst, pairs].map((x) => [...x]);
  expect(lists(pairPlaces(micro, 0, 3))).toEqual([
    [1, 0, 0, 0, 0, 0],
    [0, 1, 0, 0, 0, 0],
    [0.5, 0],
  ]);
  expect(lists(pairPlaces(micro, 1, 3))).toEqual([
    [0, 1, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0],
    [0.5, 0],
  ]);
});

test("the loss is mpo's of each pair, with its gradient, and nothing else has one", async () => {
  const [rows, length, group] = [6, 5, 3];
  const settings = { group, pair_weight: 0.7, pair_beta: 0.3 };
  const chosen = await bound("grpo", settings);
  const pairLosses = await choosePairTerm(NONE, chosen);
  const rec = new Recorder(profileOf(gpu));
  const logits = rec.watched(rec.input("log-probabilities", [rows, length]));
  const { backward, metrics } = policyLoss(rec, chosen, logits, { fresh: true, rows, pairLosses });
  for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
  rec.backward(backward);
  rec.output("gradient", rec.incoming(logits)!);
  const program = await Program.compile(gpu, rec);
  // Tokens 2 and up of the answers of the first group do not count.
  const counts = [2, 2, 2, 5, 5, 5];
  const counted = (i: number) => i % length < counts[Math.floor(i / length)]!;
  const random = (seed: number) => normals(seed, rows * length).map((x, i) => (counted(i) ? -Math.abs(x) : 0));
  const [logProbs, reference] = [random(1), random(2)];
  const zeros = () => new Float32Array(rows * length);
  const [best, worst, pairs] = [
    [0, 1, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0],
    [1, 0],
  ].map((x) => Float32Array.from(x));
  const lengths = Float32Array.from(counts);
  const inputs = { "log-probabilities": logProbs, reference, lengths, best, worst, pairs };
  for (const [name, data] of Object.entries(inputs)) program.write(name, data!);
  for (const name of ["weights", "shares", "advantages"]) program.write(name, zeros());
  const DELTA = 0.2;
  program.run({ accumulate: 0, kl_weight: 0, reward_mean: DELTA });
  const told = async (name: string) => (await program.read(name))[0]!;
  const sum = (x: Float32Array, row: number) => x.slice(row * length, (row + 1) * length).reduce((a, b) => a + b, 0);
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const [won, lost] = [1, 2].map((row) => 0.3 * (sum(logProbs, row) - sum(reference, row))) as [number, number];
  const loss =
    -0.8 * Math.log(sigmoid(won - lost)) -
    0.2 * Math.log(sigmoid(won - DELTA) * sigmoid(DELTA - lost)) -
    sum(logProbs, 1) / 2;
  expect(await told("pair_loss")).toBeCloseTo(0.7 * loss, 5);
  expect(await told("loss")).toBeCloseTo(0.7 * loss, 5);
  expect([await told("reward_chosen"), await told("reward_rejected"), await told("pairs")]).toEqual([
    expect.closeTo(won, 5),
    expect.closeTo(lost, 5),
    1,
  ]);
  const up = -0.8 * 0.3 * sigmoid(lost - won) - 0.2 * 0.3 * sigmoid(DELTA - won) - 1 / 2;
  const down = 0.8 * 0.3 * sigmoid(lost - won) + 0.2 * 0.3 * sigmoid(lost - DELTA);
  const gradient = await program.read("gradient");
  for (const [i, slope] of gradient.entries()) {
    const row = Math.floor(i / length);
    expect(slope).toBeCloseTo(row === 1 ? 0.7 * up : row === 2 ? 0.7 * down : 0, 5);
  }
  program.free();
});

const hasA = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));

interface Place {
  readonly weights: readonly Float32Array[];
  readonly training: SavedTraining;
}

async function train(settings: Readonly<Record<string, unknown>>, to: number, from?: Place) {
  const [model, reference] = [await tinyModel(gpu), await tinyModel(gpu)];
  for (const [i, parameter] of model.trainable().entries()) if (from) parameter.write(from.weights[i]!);
  const own = { group: 4, max_new_tokens: 4, prompts_per_step: 4, temperature: 2, ...settings };
  const chosen = await bound("grpo", own);
  const pairLosses = await choosePairTerm(NONE, chosen);
  const prompts = [[1], [2], [3], [4]];
  const world = policyWorld({ model, chosen, prompts, terms: [hasA], rows: 8, accumulate: 1, reference, pairLosses });
  const controllers = [world.controller, ...(pairLosses.length ? [rewardMean(({ metrics }) => metrics.pairs!)] : [])];
  const training = await Training.make({
    ...{ model, source: world.source, objective: world.objective, controllers, extra: [] },
    ...{ optimizer: bindDefaults(adamw), rate: () => 1e-2, steps: to, accumulate: 1, seed: 0 },
  });
  if (from) await training.load(from.training);
  const steps: StepResult[] = [];
  await training.run({ signal: new AbortController().signal, onStep: (step) => steps.push(step) });
  const weights = await Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const place = { weights, training: await copyState(gpu, training.state()) };
  await training.free();
  world.free();
  for (const one of [model, reference]) one.free();
  return { steps, place };
}

describe("a training with pairs", () => {
  test("begins at rewards of 0, and parts the better answers from the worse", async () => {
    const { steps } = await train({ pair_weight: 1 }, 16);
    const told = steps.map(({ metrics }) => metrics);
    expect([told[0]!.reward_chosen, told[0]!.reward_rejected].map((x) => Math.abs(x!) < 1e-5)).toEqual([true, true]);
    const late = told.slice(8).filter(({ pairs }) => pairs! > 0);
    expect(late.length).toBeGreaterThan(0);
    expect(Math.max(...late.map((own) => own.pair_margin!))).toBeGreaterThan(0);
  });

  test("and a buffer resumes in the same bytes", async () => {
    const settings = { pair_weight: 0.5, buffer: "ssb" };
    const whole = await train(settings, 7);
    const first = await train(settings, 3);
    const rest = await train(settings, 7, first.place);
    expect(rest.place.weights).toEqual(whole.place.weights);
    expect(rest.place.training.progress.states).toEqual(whole.place.training.progress.states);
  });
});

const SIGMOID = await withLosses("sigmoid");
const AOT = await withLosses("aot");

describe("refuses", () => {
  test.each([
    ["grpo", { pair_weight: 1, group: 1 }, NONE, "--group 1 is one"],
    ["online-dpo", { pair_weight: 1 }, NONE, "is a loss of pairs itself"],
    ["raft", { pair_weight: 1 }, NONE, "raft chooses answers"],
    ["grpo", {}, SIGMOID, "--pair-loss beside grpo has no weight"],
    ["grpo", { pair_weight: 1 }, AOT, "--pair-loss aot compares pairs"],
  ] as const)("%s with %o", async (name, settings, run, problem) => {
    expect(choosePairTerm(run, await bound(name, settings))).rejects.toThrow(problem);
  });

  test("batches that divide a group", async () => {
    const model = await tinyModel(gpu);
    const chosen = await bound("grpo", { pair_weight: 1, group: 4 });
    expect(() => policyWorld({ model, chosen, prompts: [[1]], terms: [hasA], rows: 2, accumulate: 2 })).toThrow(
      "divides a group of 4",
    );
    model.free();
  });
});
