/** Training on one's own answers: what is chosen, that nothing else counts, and the loss of pairs. */
import { describe, expect, test } from "bun:test";
import { method as onlineDpo } from "../../../src/align/methods/policies/online-dpo.ts";
import { method as raft } from "../../../src/align/methods/policies/raft.ts";
import { method as rft } from "../../../src/align/methods/policies/rft.ts";
import { method as selfEvolve } from "../../../src/align/methods/policies/self-evolve.ts";
import type { PolicyMethod } from "../../../src/align/policies/contract.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { randomUnits } from "../../support/random.ts";
import { rewarded } from "./rewarded.ts";
import { tokenLoss } from "./token-loss.ts";
import { bound, policyWorld, term, tinyModel, tokensOf } from "./world.ts";

const GROUP = 6;
const unit = randomUnits(8);
/** Rewards 0, 0.5 and 1; few tokens, so that some answers are said twice. */
const ANSWERS = Array.from({ length: 8 * GROUP }, () => ({
  reward: Math.floor(3 * unit()) / 2,
  ids: Array.from({ length: 1 + Math.floor(2 * unit()) }, () => Math.floor(3 * unit())),
}));

/** What a method chooses, group by group, with settings. */
function chosenBy(method: unknown, settings: Readonly<Record<string, unknown>> = {}): readonly (readonly number[])[] {
  const { choice } = method as PolicyMethod;
  const ids = ANSWERS.map((answer) => answer.ids);
  const logProbs = ids.map((own) => own.map((id, t) => -0.3 * id - 0.2 * t));
  const given = rewarded(method as PolicyMethod, settings, {
    ...{ rewards: ANSWERS.map(({ reward }) => reward), group: GROUP, lengths: ids.map(({ length }) => length) },
  });
  return choice!.of({
    ...{ ...given, ids, sampled: logProbs, reference: logProbs.map((own) => own.map((p) => -p)) },
  });
}

const groupOf = (g: number) => ANSWERS.slice(g * GROUP, (g + 1) * GROUP);
const sorted = (groups: readonly (readonly number[])[]) => groups.map((own) => [...own].sort());

describe("the choice", () => {
  test("of rft is every right answer, and each once", () => {
    for (const [g, places] of chosenBy(rft).entries()) {
      const own = groupOf(g);
      const right = own.filter(({ reward }) => reward >= 0.5).map(({ ids }) => ids.join());
      const taken = places.map((place) => own[place]!.ids.join());
      expect(taken.length).toBe(new Set(taken).size);
      expect(new Set(taken)).toEqual(new Set(right));
    }
  });

  test("of self-evolve with all answers is that of rft, and without a new rank too", () => {
    expect(sorted(chosenBy(selfEvolve, { top: GROUP }))).toEqual(sorted(chosenBy(rft)));
    expect(chosenBy(selfEvolve, { top: GROUP, rerank: "none" })).toEqual(chosenBy(rft));
  });

  test("of self-evolve is the right ones whose tokens are the likeliest under the model that is asked", () => {
    const score = (ids: readonly number[]) => ids.reduce((sum, id, t) => sum - 0.3 * id - 0.2 * t, 0) / ids.length;
    for (const [rerank, sign] of [
      ["own-logprob", 1],
      ["logprob", -1],
    ] as const)
      for (const [g, places] of chosenBy(selfEvolve, { rerank }).entries()) {
        const scores = [
          ...new Set(
            groupOf(g)
              .filter(({ reward }) => reward >= 0.5)
              .map(({ ids }) => ids.join()),
          ),
        ]
          .map((text) => sign * score(text.split(",").map(Number)))
          .sort((a, b) => b - a);
        const taken = places.map((place) => sign * score(groupOf(g)[place]!.ids));
        expect(taken).toEqual(scores.slice(0, 2));
      }
  });

  test("of raft is one of the largest reward, however small", () => {
    for (const [g, [place, ...more]] of chosenBy(raft).entries()) {
      expect(more).toEqual([]);
      expect(groupOf(g)[place!]!.reward).toBe(Math.max(...groupOf(g).map(({ reward }) => reward)));
    }
  });

  test("of online-dpo is the best and the worst, or none where all are alike", () => {
    for (const [g, places] of chosenBy(onlineDpo).entries()) {
      const own = groupOf(g).map(({ reward }) => reward);
      const [low, high] = [Math.min(...own), Math.max(...own)];
      expect(places.map((place) => own[place]!)).toEqual(low === high ? [] : [high, low]);
    }
  });
});

test("answers that are left out weigh nothing, and the others are a mean over their tokens", async () => {
  const model = await tinyModel(await sharedGpu());
  const chosen = await bound("rft", { group: 4, top: 3, max_new_tokens: 5 });
  const isRight = (answer: string) => answer.includes("a");
  const right = term("a", ({ answer }) => (isRight(answer) ? 1 : 0));
  const world = policyWorld({ model, chosen, prompts: [[1], [2], [3], [4]], terms: [right], rows: 12 });
  const { held, lines } = await world.maker.make(1, counting());
  expect([held.answers.length, lines.length]).toEqual([12, 16]);
  const counted = held.answers.filter(({ isFiller }) => !isFiller);
  expect(counted.every(({ ids }) => ids.includes(1))).toBe(true);
  const used = lines.filter((line) => line.used);
  expect(used.map(({ tokens }) => tokens)).toEqual(counted.map(({ ids }) => ids.length));
  expect(used.every(({ answer }) => isRight(answer))).toBe(true);
  expect([used.length > 0, used.length < 12]).toEqual([true, true]);
  const { batch } = await world.source.next();
  const tokens = counted.reduce((sum, { ids }) => sum + ids.length, 0);
  const weights = tokensOf(batch).map(({ weight }) => weight);
  expect(weights).toHaveLength(tokens);
  for (const weight of weights) expect(weight).toBeCloseTo(1 / tokens, 6);
  expect(batch.told.chosen).toBe(used.length / 16);
  world.free();
  model.free();
});

test.each(["raft", "rft", "self-evolve", "online-dpo"])("%s makes right answers more frequent", async (name) => {
  const gpu = await sharedGpu();
  const [model, reference] = [await tinyModel(gpu), await tinyModel(gpu)];
  const chosen = await bound(name, { group: 4, max_new_tokens: 4, prompts_per_step: 8 });
  const right = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));
  const rows = 8 * chosen.method.choice!.most(chosen.values);
  const world = policyWorld({ model, chosen, prompts: [[1], [2], [3], [4]], terms: [right], rows, reference });
  const training = await Training.make({
    ...{ model, source: world.source, objective: world.objective, controllers: [world.controller] },
    ...{ optimizer: bindDefaults(adamw), rate: () => 1e-2, steps: 25, accumulate: 1, seed: 0 },
  });
  await training.run({ signal: new AbortController().signal });
  const rewards = world.told.map(({ reward }) => reward!);
  const mean = (own: readonly number[]) => own.reduce((a, b) => a + b, 0) / own.length;
  expect(mean(rewards.slice(-5))).toBeGreaterThan(mean(rewards.slice(0, 3)) + 0.2);
  await training.free();
  world.free();
  for (const own of [model, reference]) own.free();
});

/** Prompts in turn. */
function counting() {
  let drawn = 0;
  return () => ({ prompt: drawn++ % 4, epoch: 0 });
}

describe("the loss of online-dpo", () => {
  const [ROWS, TOKENS] = [4, 5];
  const logProbs = Float32Array.from({ length: ROWS * TOKENS }, () => -2 * unit());
  const reference = Float32Array.from(logProbs, () => -2 * unit());
  const ADVANTAGES = [1, -1, 1, -1];
  const run = (own: Float32Array, beta: number) =>
    tokenLoss(bindDefaults(onlineDpo as unknown as PolicyMethod, { beta }), {
      ...{ rows: ROWS, logProbs: own, reference, advantages: ADVANTAGES },
    });
  const sum = (x: Float32Array, row: number) =>
    x.subarray(row * TOKENS, (row + 1) * TOKENS).reduce((all, p) => all + p, 0);
  const margins = [0, 2].map(
    (row) => sum(logProbs, row) - sum(reference, row) - sum(logProbs, row + 1) + sum(reference, row + 1),
  );

  test("is ln 2 at the reference", async () => {
    const { told } = await run(reference, 0.3);
    expect([told.loss, told.margin]).toEqual([expect.closeTo(Math.LN2, 6), expect.closeTo(0, 6)]);
  });

  test("is the mean of pairs, whose answers are pushed apart alike", async () => {
    const beta = 0.3;
    const { told, gradient } = await run(logProbs, beta);
    const losses = margins.map((h) => Math.log1p(Math.exp(-beta * h)));
    expect(told.loss).toBeCloseTo((losses[0]! + losses[1]!) / 2, 5);
    expect(told.margin).toBeCloseTo((margins[0]! + margins[1]!) / 2, 5);
    for (const [i, g] of gradient.entries()) {
      const row = Math.floor(i / TOKENS);
      const push = beta / (1 + Math.exp(beta * margins[Math.floor(row / 2)]!)) / 2;
      expect(g).toBeCloseTo(row % 2 === 0 ? -push : push, 6);
    }
  });

  test("has hardly a gradient where beta is near 0", async () => {
    const { gradient } = await run(logProbs, 1e-6);
    expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(1e-6);
  });
});
