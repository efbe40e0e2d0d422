/** Rollouts against plain decoding of the same rows, and what they keep of every token. */
import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { Model } from "../../../src/model/model.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { Rollouts } from "../../../src/run/generating/rollouts.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { END, letters, tinyModel } from "../../align/policies/world.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { TINY_DECODERS, TINY_DELTA, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const PROMPTS = [[1, 2, 3], [7], [5, 4, 1, 3, 2, 6, 1]].map((ids, i) => ({ ids, key: `p${i}`, name: `row ${i}` }));
const how = { group: 3, temperature: 0.8, maxTokens: 9, ends: [END], stops: [], seed: 4 };

/** Plain caches, a window, a sequence that turns anew, one narrow vector of a token, and states. */
const kinds = {
  ...{ llama: TINY_TEXT.llama!, mistral: TINY_TEXT.mistral!, gpt2: TINY_TEXT.gpt2! },
  longrope: TINY_DECODERS["phi3 with longrope in a part of a head"]!,
  latent: TINY_DECODERS.deepseek_v3!,
  states: TINY_DELTA.qwen3_5_text!,
};

test.each(Object.entries(kinds))("%s: a prompt that is read once answers as one read for each row", async (_, json) => {
  const model = await Model.fresh(gpu, json, "m", { seed: 2 });
  const rollouts = new Rollouts(model, undefined);
  const answers = await rollouts.sample(PROMPTS, how);
  rollouts.free();
  const rows = PROMPTS.flatMap((prompt) => [0, 1, 2].map((sample) => ({ ...prompt, sample })));
  const generator = new Generator(model);
  const plain = await generator.complete(
    rows.map(({ ids }) => ids),
    {
      ...{ ...GREEDY, temperature: 0.8, seed: 4, maxTokens: 9, stop: [END], batch: rows.length },
      keys: rows.map(({ key, sample }) => `rollout ${key} ${sample}`),
    },
  );
  generator.free();
  model.free();
  const ended = answers.map(({ ids, truncated }) => (truncated ? ids : ids.slice(0, -1)));
  expect(ended as number[][]).toEqual(plain);
  expect(answers.every(({ ids, truncated }) => truncated || ids.at(-1) === END)).toBe(true);
});

test("neither the order of prompts nor how many are answered at once changes an answer", async () => {
  const model = await tinyModel(gpu);
  const rollouts = new Rollouts(model, letters);
  const all = await rollouts.sample(PROMPTS, how);
  const alone = await rollouts.sample(PROMPTS, { ...how, rows: 3 });
  const back = await rollouts.sample([...PROMPTS].reverse(), how);
  // The least bits of log-probabilities may depend on how many rows a matrix product has.
  const textsOf = (answers: typeof all) => answers.map(({ ids, text }) => ({ ids, text }));
  const inOrder = [back.slice(6), back.slice(3, 6), back.slice(0, 3)].flat();
  for (const other of [alone, inOrder]) {
    expect(textsOf(other)).toEqual(textsOf(all));
    for (const [i, { logProbs }] of other.entries())
      for (const [t, p] of logProbs.entries()) expect(p).toBeCloseTo(all[i]!.logProbs[t]!, 5);
  }
  expect(new Set(all.map(({ text }) => text)).size).toBeGreaterThan(3);
  rollouts.free();
  model.free();
});

test("log-probabilities are those of the whole sequence at the temperature of sampling", async () => {
  const model = await tinyModel(gpu);
  const rollouts = new Rollouts(model, letters);
  const answers = await rollouts.sample(PROMPTS, how);
  for (const [i, { ids, logProbs }] of answers.entries()) {
    const prompt = PROMPTS[Math.floor(i / 3)]!.ids;
    const whole = Int32Array.of(...prompt, ...ids);
    const logits = await logitsOf(gpu, model, collate([[{ ids: whole, labels: whole, group: 0, place: "" }]]));
    const v = model.sizes.outputs;
    for (const [t, id] of ids.entries()) {
      const own = [...logits.subarray((prompt.length + t - 1) * v, (prompt.length + t) * v)].map((x) => x / 0.8);
      const sum = Math.log(own.reduce((all, x) => all + Math.exp(x), 0));
      expect(logProbs[t]).toBeCloseTo(own[id]! - sum, 5);
    }
  }
  rollouts.free();
  model.free();
});

test("a stop text ends an answer, and an answer that is cut is told", async () => {
  const model = await tinyModel(gpu);
  const rollouts = new Rollouts(model, letters);
  const free = await rollouts.sample(PROMPTS, { ...how, group: 8 });
  const stopped = await rollouts.sample(PROMPTS, { ...how, group: 8, stops: ["c"] });
  expect(free.some(({ text }) => text.includes("c"))).toBe(true);
  for (const [i, { ids, text, truncated }] of stopped.entries()) {
    const whole = free[i]!;
    const at = whole.text.indexOf("c");
    expect(text).toBe(at < 0 ? whole.text : whole.text.slice(0, at));
    expect(ids).toEqual(at < 0 ? whole.ids : whole.ids.slice(0, at + 1));
    expect(truncated).toBe(at < 0 && whole.ids.length === 9 && whole.ids.at(-1) !== END);
  }
  rollouts.free();
  model.free();
});

test("the model writes as it is now", async () => {
  const model = await tinyModel(gpu);
  const rollouts = new Rollouts(model, letters);
  const before = await rollouts.sample(PROMPTS, how);
  const head = model.parameters.get("lm_head.weight")!;
  head.write((await gpu.readFloats(head.buffer, head.size)).map((w, i) => (i < 16 ? w + 9 : w)));
  const after = await rollouts.sample(PROMPTS, how);
  expect(after).not.toEqual(before);
  const anew = new Rollouts(model, letters);
  expect(await anew.sample(PROMPTS, how)).toEqual(after);
  for (const one of [rollouts, anew, model]) one.free();
});

test("a temperature of tokens is told the entropy at that of all, and log-probabilities are at what it says", async () => {
  const model = await tinyModel(gpu);
  const rollouts = new Rollouts(model, letters);
  const told: number[] = [];
  const heat = (entropy: number) => {
    told.push(entropy);
    return 1.7;
  };
  const warm = await rollouts.sample(PROMPTS, { ...how, temperature: 0.8, heat });
  expect(warm).toEqual(await rollouts.sample(PROMPTS, { ...how, temperature: 1.7 }));
  expect(warm).not.toEqual(await rollouts.sample(PROMPTS, how));
  const ids = Int32Array.from(PROMPTS[0]!.ids);
  const said = await logitsOf(gpu, model, collate([[{ ids, labels: ids, group: 0, place: "" }]]));
  const logits = [...said.subarray(2 * 8, 3 * 8)].map((x) => x / 0.8);
  const sum = logits.reduce((all, x) => all + Math.exp(x), 0);
  const entropy = logits.reduce((all, x) => all - (Math.exp(x) / sum) * (x - Math.log(sum)), 0);
  expect(told[0]).toBeCloseTo(entropy, 5);
  rollouts.free();
  model.free();
});

test("answers that are made to begin with one of several tokens go on as the model likes", async () => {
  const model = await tinyModel(gpu);
  const rollouts = new Rollouts(model, letters);
  const answers = await rollouts.sample(PROMPTS, { ...how, group: 8, openings: [6, 7] });
  expect(new Set(answers.map(({ ids }) => ids[0]))).toEqual(new Set([6, 7]));
  for (const { logProbs } of answers) expect(logProbs[0]).toBe(-Math.log(2));
  expect(new Set(answers.map(({ ids }) => ids[1])).size).toBeGreaterThan(2);
  expect(await rollouts.sample(PROMPTS, { ...how, group: 8, openings: [6, 7] })).toEqual(answers);
  rollouts.free();
  model.free();
});
