/** Modes of answers: degrpo's first token apart from the others, and adaptthink's half of answers without thinking. */
import { describe, expect, test } from "bun:test";
import { method as thinking } from "../../../src/align/methods/policies/adaptthink.ts";
import { method as decoupled } from "../../../src/align/methods/policies/degrpo.ts";
import type { PolicyMethod, PolicyRow } from "../../../src/align/policies/contract.ts";
import { Likelihoods } from "../../../src/align/policies/likelihoods.ts";
import { controlTokens, modeIds } from "../../../src/align/policies/modes.ts";
import type { Answered } from "../../../src/align/verifying/contract.ts";
import type { Tokenizer } from "../../../src/data/tokenizer.ts";
import type { JsonObject } from "../../../src/json.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { rewarded } from "./rewarded.ts";
import { bound, letters, policyWorld, term, tinyModel, tokensOf } from "./world.ts";

const degrpo = decoupled as unknown as PolicyMethod;
const adaptthink = thinking as unknown as PolicyMethod;
const gpu = await sharedGpu();
const rowOf = (share: unknown): PolicyRow => ({
  row: { form: "prompt", prompt: "q", extra: share === undefined ? {} : { reference_accuracy: share as number } },
  place: "rows.jsonl:3",
});
const PROMPTS = [[1], [2], [3], [4, 5]];
const hasC = term("c", ({ answer }) => (answer.includes("c") ? 1 : 0));
const SETTINGS = { control_tokens: "a,b", group: 4, max_new_tokens: 6, prompts_per_step: 4 };
const worldOf = async (
  name: string,
  settings: Readonly<Record<string, unknown>> = {},
  reward = hasC,
  extra: JsonObject = { reference_accuracy: 0.25 },
) => {
  const model = await tinyModel(gpu);
  const chosen = await bound(name, { ...SETTINGS, kl: 0, ...settings });
  return { model, world: policyWorld({ model, chosen, prompts: PROMPTS, terms: [reward], accumulate: 4, extra }) };
};

describe("degrpo", () => {
  test("short right answers are worth 1, thoughtful ones less, others -1, about the mean of their group", () => {
    const given = { rewards: [1, 1, 0, 1, 0, 0, 0, 1], group: 4, modes: [0, 1, 0, -1, 0, 1, 1, 1] };
    const worth = [1, 0.5, -1, -1, -1, -1, -1, 0.5];
    const found = degrpo.advantages!(rewarded(degrpo, {}, given)) as number[];
    for (const [i, advantage] of found.entries()) {
      const own = worth.slice(i - (i % 4), i - (i % 4) + 4);
      expect(advantage).toBeCloseTo(worth[i]! - own.reduce((a, b) => a + b, 0) / 4, 12);
    }
    const free = degrpo.advantages!(rewarded(degrpo, { think_cost: 0 }, given)) as number[];
    expect(free[0]).toBe(free[1]!);
  });

  test.each(["global-token", "seq-mean"])("the first token weighs alpha, and the others %s without it", async (by) => {
    const { model, world } = await worldOf("degrpo", { alpha: 0.3, aggregate: by });
    const answers = 16;
    const rows: { weight: number }[][] = [];
    for (let i = 0; i < 4; i++) {
      const { batch } = await world.source.next();
      rows.push(...Map.groupBy(tokensOf(batch), ({ row }) => row).values());
    }
    expect(rows).toHaveLength(answers);
    const rest = rows.reduce((sum, { length }) => sum + length - 1, 0);
    expect(new Set(rows.map(({ length }) => length)).size).toBeGreaterThan(1);
    for (const [first, ...others] of rows) {
      expect(first!.weight).toBeCloseTo(0.3 / answers, 7);
      const wanted = by === "global-token" ? 1 / rest : 1 / (answers * others.length);
      for (const { weight } of others) expect(weight).toBeCloseTo(wanted, 7);
    }
    world.free();
    model.free();
  });

  test("with alpha 0 the first token has no weight", async () => {
    const { model, world } = await worldOf("degrpo", { alpha: 0 });
    const { held } = await world.maker.make(1, () => ({ prompt: 0, epoch: 0 }));
    const { batch } = await world.source.next();
    const counts = batch.tokens.documents.map(({ sequence }) => sequence.labels.filter((id) => id !== -100).length);
    expect(tokensOf(batch)).toHaveLength(counts.reduce((sum, n) => sum + n - 1, 0));
    expect(held.answers.length).toBe(16);
    world.free();
    model.free();
  });
});

describe("adaptthink", () => {
  const advantagesOf = (settings: Readonly<Record<string, unknown>>, rewards: readonly number[], shares: number[]) =>
    adaptthink.advantages!(
      rewarded(adaptthink, settings, {
        ...{ rewards, group: 4, modes: rewards.map((_, i) => i % 2), measured: shares },
      }),
    ) as number[];

  test("an advantage is delta without thinking, and the answer less the accuracy of the model as it was", () => {
    const found = advantagesOf({ delta: 0.1 }, [1, 1, 0, 0, 0.5, 0, 1, 1], [0.25, 1]);
    const wanted = [0.85, 0.75, -0.15, -0.25, -0.9, -1, 0.1, 0];
    for (const [i, advantage] of found.entries()) expect(advantage).toBeCloseTo(wanted[i]!, 12);
  });

  test("without delta and with equal accuracies neither way gains", () => {
    const found = advantagesOf({ delta: 0 }, [1, 1, 0, 0], [0.5]);
    expect([found[0]! + found[2]!, found[1]! + found[3]!]).toEqual([0, 0]);
  });

  test("half of the answers begin each way, and the old policy is the one that made them begin so", async () => {
    const { model, world } = await worldOf("adaptthink", { prompts_per_step: 32 });
    let drawn = 0;
    const { held, lines } = await world.maker.make(1, () => ({ prompt: drawn++ % 4, epoch: Math.floor(drawn / 4) }));
    const share = held.answers.filter(({ ids }) => ids[0] === 1).length / held.answers.length;
    expect(held.answers).toHaveLength(128);
    expect(share).toBeGreaterThan(0.35);
    expect(share).toBeLessThan(0.65);
    const scorer = new Likelihoods(model, { temperature: 1 });
    const sequences = held.answers.map((answer) => world.maker.sequence(answer));
    const from = held.answers.map(({ prompt }) => PROMPTS[prompt]!.length);
    const scores = await scorer.of(sequences, from, { rows: 32, pad: 0 });
    for (const [i, { ids, old }] of held.answers.entries()) {
      expect([1, 2]).toContain(ids[0]!);
      expect(old![0]).toBeCloseTo(Math.log(0.5), 6);
      for (const [t, p] of old!.entries()) if (t > 0) expect(p).toBeCloseTo(scores[i]!.logProbs[t]!, 5);
      expect(lines[i]!.log_prob).toBeCloseTo(
        old!.reduce((a, b) => a + b, 0),
        4,
      );
    }
    // The first update has ratios, too.
    const { batch } = await world.source.next();
    expect(batch.old).toBeDefined();
    scorer.free();
    world.free();
    model.free();
  });

  test("a large delta makes answers begin without thinking, though the model hardly ever did", async () => {
    const { model, world } = await worldOf(
      "adaptthink",
      { delta: 1, max_new_tokens: 3 },
      term("none", () => 0),
    );
    const begins = async () => {
      const scorer = new Likelihoods(model, { temperature: 1 });
      const ids = Int32Array.of(1, 1);
      const scores = await scorer.of([{ ids, labels: ids, group: 0, place: "" }], [1], { rows: 1, pad: 0 });
      scorer.free();
      return Math.exp(scores[0]!.logProbs[0]!);
    };
    const before = await begins();
    const training = await Training.make({
      ...{ model, source: world.source, objective: world.objective, controllers: [world.controller], extra: [] },
      ...{ optimizer: bindDefaults(adamw), rate: () => 1e-2, steps: 30, accumulate: 4, seed: 0 },
    });
    await training.run({ signal: new AbortController().signal, onStep: () => {} });
    expect(before).toBeLessThan(0.3);
    expect(await begins()).toBeGreaterThan(0.8);
    await training.free();
    world.free();
    model.free();
  });

  test.each(["0.5", 1.5, -1])("refuses a row whose accuracy is %p", (share) => {
    expect(() => adaptthink.measure!.known(rowOf(share))).toThrow("rows.jsonl:3: reference_accuracy is no share");
    expect([0, 0.3].map((own) => adaptthink.measure!.known(rowOf(own)))).toEqual([0, 0.3]);
    expect(adaptthink.measure!.known(rowOf(undefined))).toBeUndefined();
  });

  test("the accuracy of the model as it was is measured by thoughtful answers before the first rollout, and kept", async () => {
    const hasD = (answer: string) => (answer.includes("d") ? 1 : 0);
    const asked: Answered[] = [];
    const reward = term("c", (answer) => {
      asked.push(answer);
      return hasD(answer.answer);
    });
    const { model, world } = await worldOf("adaptthink", { prompts_per_step: 8, group: 8 }, reward, {});
    let drawn = 0;
    const draw = () => ({ prompt: drawn++ % 4, epoch: 0 });
    const { held } = await world.maker.make(1, draw);
    // A rollout has eight prompts, and the four there are fill as many up; then come its own.
    expect(asked).toHaveLength(64 + 64);
    const measured = asked.slice(0, 64);
    expect(new Set(measured.map(({ answer }) => answer[0]))).toEqual(new Set(["b"]));
    for (let prompt = 0; prompt < 4; prompt++) {
      const own = measured.filter(({ place }) => place === `world:${prompt + 1}`).slice(0, 8);
      const share = own.filter(({ answer }) => hasD(answer) === 1).length / 8;
      expect(held.measured![prompt]).toBe(share);
    }
    for (const { prompt, ids, advantage } of held.answers) {
      const right = hasD(letters.decode(ids));
      expect(advantage).toBeCloseTo((ids[0] === 1 ? 0.05 : 0) + right - held.measured![prompt]!, 12);
    }
    expect(new Set(Object.values(held.measured!)).size).toBeGreaterThan(1);
    const next = await world.maker.make(2, draw, { before: held });
    expect(asked).toHaveLength(64 + 64 + 64);
    expect(next.held.measured).toEqual(held.measured!);
    world.free();
    model.free();
  });
});

test("modes are two tokens of the vocabulary", async () => {
  expect(controlTokens("<a>,<b>")).toEqual(["<a>", "<b>"]);
  for (const text of ["<a>", "a,b,c", "a,a", ",b"]) expect(() => controlTokens(text)).toThrow("does not name two");
  expect(modeIds(await bound("degrpo", { control_tokens: "c,d" }), letters)).toEqual([3, 4]);
  expect(modeIds(await bound("grpo"), letters)).toBeUndefined();
  const chosen = await bound("degrpo", { control_tokens: "a,xy" });
  expect(() => modeIds(chosen, letters as Tokenizer)).toThrow("xy is 2 tokens of letters");
});
