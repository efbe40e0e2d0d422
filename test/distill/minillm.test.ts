/** MiniLLM: its gradient is that of the reverse KL of whole texts, and what it learns from is what models write. */
import { afterAll, describe, expect, test } from "bun:test";
import { type Batch, collate, isTokens } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import type { BatchesGiven } from "../../src/distill/capability.ts";
import { method as minillm } from "../../src/distill/methods/minillm.ts";
import { type Drawn, MixedSource, writeMixed } from "../../src/distill/mixed-writing.ts";
import { NAMES, numbersOf, ownWriting } from "../../src/distill/own-writing.ts";
import { returnsOf, whitened } from "../../src/distill/text-returns.ts";
import { Model } from "../../src/model/model.ts";
import { logProbabilities } from "../../src/run/combining/log-probabilities.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import type { BatchSource } from "../../src/run/training/batch-source.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { runRows, settingsOf } from "./rows.ts";

const gpu = await sharedGpu();
const PLAIN = { gamma: 1, reward_scale: 1, reward_clip: 1e9, returns: "later", length_norm: false } as const;
const near = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** All texts of 3 of 3 symbols, of models that are tables: a row of logits for each beginning (13, 3). */
const SYMBOLS = 3;
const texts = Array.from({ length: 27 }, (_, i) => [Math.floor(i / 9), Math.floor(i / 3) % 3, i % 3]);
const place = (text: readonly number[], t: number) => [0, 1 + text[0]!, 4 + 3 * text[0]! + text[1]!][t]!;
const logsOf = (table: ArrayLike<number>, row: number) =>
  logProbabilities(Array.from(table).slice(row * SYMBOLS, (row + 1) * SYMBOLS));

function reverseKl(student: ArrayLike<number>, teacher: ArrayLike<number>): number {
  let sum = 0;
  for (const text of texts) {
    const [q, p] = [student, teacher].map((table) =>
      text.reduce((total, y, t) => total + logsOf(table, place(text, t))[y]!, 0),
    );
    sum += Math.exp(q!) * (q! - p!);
  }
  return sum;
}

/** The gradient for the student's table, expected over all texts that the mixture writes. */
async function expected(
  student: Float32Array,
  teacher: Float32Array,
  alpha: number,
  values: Parameters<typeof returnsOf>[1],
  settings: Readonly<Record<string, number>>,
): Promise<Float64Array> {
  const rows = texts.flatMap((text) => text.map((_, t) => place(text, t)));
  const drawn = texts.map((text): Drawn[] =>
    text.map((id, t) => {
      const [own, other] = [student, teacher].map((table) => logsOf(table, place(text, t))[id]!);
      const mixed = Math.log(alpha * Math.exp(other!) + (1 - alpha) * Math.exp(own!));
      return { id, own: own!, teacher: other!, drawn: mixed };
    }),
  );
  const worth = drawn.flatMap((text) => returnsOf(text, values));
  const spread = (table: Float32Array) => rows.flatMap((row) => [...table.slice(3 * row, 3 * row + 3)]);
  const { gradient } = await runRows(gpu, minillm, {
    ...{ student: spread(student), teachers: [spread(teacher)], outputs: SYMBOLS, targets: texts.flat(), settings },
    given: {
      ...Object.fromEntries(
        NAMES.slice(0, 3).map((name) => [name, Float32Array.from(worth, (one) => one[name as "single"])]),
      ),
      text: new Float32Array(rows.length),
    },
    seed: Float32Array.from(drawn.flatMap((text) => text.map(() => Math.exp(text.reduce((s, x) => s + x.drawn, 0))))),
  });
  const total = new Float64Array(student.length);
  for (const [i, row] of rows.entries()) for (let v = 0; v < SYMBOLS; v++) total[3 * row + v]! += gradient[3 * i + v]!;
  return total;
}

describe("the expected gradient, over all texts of three symbols", () => {
  const student = Float32Array.from(normals(1, 39));
  const teacher = Float32Array.from(normals(2, 39));
  const wanted = Float64Array.from(student, (_, i) => {
    const at = (d: number) =>
      reverseKl(
        Array.from(student, (x, j) => (i === j ? x + d : x)),
        teacher,
      );
    return (at(1e-4) - at(-1e-4)) / 2e-4;
  });
  const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);

  test.each([
    ["on-policy", 0, { ...PLAIN, importance: "token" }, 1],
    ["on-policy, the token itself among its returns", 0, { ...PLAIN, returns: "own", importance: "token" }, 0],
    ["mixed, weights of all tokens up to each", 0.2, { ...PLAIN, importance: "text" }, 1],
  ] as const)("is that of the reverse KL: %s", async (_, alpha, values, single_step) => {
    expect(most).toBeGreaterThan(0.1);
    const found = await expected(student, teacher, alpha, values, { single_step, ratio_clip: 0 });
    expect(near(found, wanted)).toBeLessThan(2e-5);
  });

  test("is near it with the weight of each token alone, and away from it with none of the later tokens", async () => {
    const cosine = (a: Float64Array) => {
      const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
      return dot(a, wanted) / Math.sqrt(dot(a, a) * dot(wanted, wanted));
    };
    const values = { ...PLAIN, importance: "token" } as const;
    const mixed = await expected(student, teacher, 0.2, values, { single_step: 1, ratio_clip: 0 });
    expect(cosine(mixed)).toBeGreaterThan(0.98);
    const local = await expected(student, teacher, 0, { ...values, reward_clip: 0 }, { single_step: 1, ratio_clip: 0 });
    expect(cosine(local)).toBeLessThan(cosine(mixed));
    // Twice the divergence of each token, as the authors' code counts it.
    const twice = await expected(student, teacher, 0, { ...values, returns: "own" }, { single_step: 1, ratio_clip: 0 });
    expect(near(twice, wanted)).toBeGreaterThan(0.05);
  });
});

test("what a token is worth: sums of later log-ratios, by length, discounted, bounded", () => {
  const tokens = [0.5, -0.25, 1.5].map((r, id) => ({ id, own: -1, teacher: r - 1, drawn: -1.5 }));
  const of = (given: object) =>
    returnsOf(tokens, { ...PLAIN, importance: "token", ...given }).map(({ advantage }) => advantage);
  expect(of({})).toEqual([1.25, 1.5, 0]);
  expect(of({ returns: "own" })).toEqual([1.75, 1.25, 1.5]);
  expect(of({ length_norm: true })).toEqual([0.625, 1.5, 0]);
  expect(of({ gamma: 0.5 })).toEqual([0.5, 1.5, 0]);
  expect(of({ reward_scale: 0.5, reward_clip: 2 })).toEqual([1.5, 2, 0]);
  const byToken = returnsOf(tokens, { ...PLAIN, importance: "token" });
  expect(byToken.map(({ against, single }) => [against, single])).toEqual(Array(3).fill([-1.5, 1]));
  const [w, byText] = [Math.exp(0.5), returnsOf(tokens, { ...PLAIN, importance: "text" })];
  expect(
    near(
      byText.map(({ single }) => single),
      [1, w, w ** 2],
    ),
  ).toBeLessThan(1e-12);
  expect(byText[0]!.advantage).toBeCloseTo(-0.25 * w ** 2 + 1.5 * w ** 3, 12);
  const white = whitened([byToken, byToken.slice(0, 1)])
    .flat()
    .map(({ advantage }) => advantage);
  expect(white.reduce((sum, x) => sum + x, 0)).toBeCloseTo(0, 10);
  expect(white.reduce((sum, x) => sum + x * x, 0) / 4).toBeCloseTo(1, 6);
});

test("a ratio beyond the clip takes no gradient where it would go further", async () => {
  const student = [0, 0, 0, 0]; // log q = -log 2
  const given = (against: number, advantage: number) => ({
    against: new Float32Array(2).fill(against),
    advantage: new Float32Array(2).fill(advantage),
    single: new Float32Array(2),
    text: new Float32Array(2),
  });
  const slope = async (against: number, advantage: number, clip: number) => {
    const run = {
      student,
      teachers: [student],
      outputs: 2,
      settings: { ratio_clip: clip },
      given: given(against, advantage),
    };
    return (await runRows(gpu, minillm, run)).gradient[0]!;
  };
  const half = Math.log(0.5);
  expect(await slope(half, 2, 0.2)).toBeCloseTo(-1, 5); // -ratio A (1 - q)
  expect(await slope(half - 1, 2, 0.2)).toBe(0);
  expect(await slope(half - 1, 2, 0)).toBeCloseTo(-Math.E, 4);
  expect(await slope(half - 1, -2, 0.2)).toBeCloseTo(Math.E, 4);
});

const config = TINY_TEXT.llama!;
const student = await Model.fresh(gpu, config, "student", { seed: 1 });
const teacher = await Model.fresh(gpu, config, "teacher", { seed: 2 });
afterAll(() => {
  student.free();
  teacher.free();
});

describe("what is written", () => {
  const prompts = [[1, 2], [3]];
  const how = { keys: ["a", "b"], seed: 4, maxTokens: 6, stop: [] };

  test("without the teacher's share it is what the student writes alone", async () => {
    const source = new MixedSource(student, teacher, { alpha: 0, temperature: 1 });
    const answers = await writeMixed(source, prompts, how);
    source.free();
    const generator = new Generator(student);
    const alone = await generator.complete(prompts, { ...GREEDY, ...how, temperature: 1, batch: 2 });
    generator.free();
    expect(answers.map((answer) => answer.map(({ id }) => id))).toEqual(alone);
    for (const { own, drawn } of answers.flat()) expect(Math.abs(own - drawn)).toBeLessThan(1e-5);
  });

  test("with it, tokens come of the mixture, and the two say what is in it", async () => {
    const source = new MixedSource(student, teacher, { alpha: 0.3, temperature: 1 });
    const answers = await writeMixed(source, prompts, how);
    source.free();
    for (const { own, teacher, drawn } of answers.flat())
      expect(drawn).toBeCloseTo(Math.log(0.7 * Math.exp(own) + 0.3 * Math.exp(teacher)), 5);
  });
});

describe("batches", () => {
  const rows: Sequence[] = [0, 1, 1].map((group, i) => {
    const ids = Int32Array.of(1, 2, 10 + i, 5);
    return { ids, labels: ids.map((id, t) => (group === 0 || t > 1 ? id : -100)), group, place: `${i}` };
  });
  let batch = 0;
  const source = (groups: readonly string[]): BatchSource<Batch> => ({
    groups: groups.map((name) => ({ name, rows: 1 })),
    batchesPerEpoch: 9,
    largest: () => collate(rows.map((row) => [row])),
    next: () => ({ batch: collate(rows.map((row) => [row])), epoch: batch++ && 0 }),
    state: () => ({ made_with: {}, epoch: 0, batch, drawn: [] }),
    load: () => {},
  });
  const given = {
    ...{ student, teacher, seed: 5, batches: 40, accumulate: 2 },
    tools: { tokenizer: undefined, encode: { maxLength: 16 }, files: new Map() },
    options: { sample_temperature: 1, sample_tokens: 4, prompt_tokens: 2, eval_every: 2 },
  } as never as BatchesGiven;
  const begin = (settings: object = {}) => {
    const part = ownWriting.begin(settingsOf(ownWriting.options, { reuse: 2, text: "plain", ...settings }) as never, {
      ...{ method: "minillm", named: ["large"], weights: { distill: 1, labels: 0 }, evaluates: false },
    })!;
    return { part, ...part.batches!(source(["plain", "tasks"]), given) };
  };
  const textsOf = (b: Batch) => (isTokens(b) ? b.documents.map(({ sequence }) => [...sequence.ids]) : []);

  test("are answers to all rows but those that stay, written for a whole step and used again", async () => {
    batch = 0;
    const { part, source: own, free } = begin();
    const drawn: Batch[] = [];
    for (let i = 0; i < 5; i++) drawn.push((await own.next()).batch);
    await free!();
    expect(drawn[2]).toBe(drawn[0]!);
    expect(drawn[3]).toBe(drawn[1]!);
    expect(drawn[4]).not.toBe(drawn[0]!);
    expect(batch).toBe(4);
    const [plain, ...answers] = textsOf(drawn[0]!);
    expect(plain).toEqual([...rows[0]!.ids]);
    for (const ids of answers) expect([ids.slice(0, 2), ids.length]).toEqual([[1, 2], 6]);
    const numbers = part.positions!.of(drawn[0]!)!;
    expect(part.positions!.of(collate([[rows[0]!]]))).toBeUndefined();
    // Two means: eight tokens of answers and three of the text, of eleven that count.
    const sumOf = (name: string) => numbers[name]!.reduce((sum, x) => sum + x, 0);
    expect(sumOf("single")).toBeCloseTo(11, 4);
    expect([...numbers.text!.slice(0, 3)]).toEqual(Array(3).fill(Math.fround(11 / 3)));
    const length = drawn[0]!.length;
    expect([...numbers.single!].map((x, i) => (x > 0 ? i - length : -1)).filter((at) => at >= 0)).toEqual(
      [1, 2, 3, 4].flatMap((t) => [t, t + length]).sort((a, b) => a - b),
    );
  });

  test("go on from a saved state as they were", async () => {
    for (const taken of [1, 2, 3, 4]) {
      batch = 0;
      const one = begin();
      for (let i = 0; i < taken; i++) await one.source.next();
      const saved = JSON.parse(JSON.stringify(one.controllers[0]!.state!()));
      const at = batch;
      const rest = [await one.source.next(), await one.source.next()].map((drawn) => drawn.batch);
      await one.free!();
      batch = at;
      const two = begin();
      two.controllers[0]!.load!(saved);
      const again = [await two.source.next(), await two.source.next()].map((drawn) => drawn.batch);
      await two.free!();
      expect(again.map(textsOf)).toEqual(rest.map(textsOf));
      for (const [i, own] of again.entries())
        expect(two.part.positions!.of(own)).toEqual(one.part.positions!.of(rest[i]!));
    }
    for (const wrong of [3, [], { next: 0, use: 0, batches: [3] }])
      expect(() => begin().controllers[0]!.load!(wrong)).toThrow("has no state of own answers");
  });

  test("are refused where nothing is drawn, or no group has the name", () => {
    const begun = { method: "minillm", named: ["a"], weights: { distill: 1, labels: 0 }, evaluates: false };
    const settings = settingsOf(ownWriting.options) as never;
    expect(() => ownWriting.begin(settings, { ...begun, temperature: 0 })).toThrow("draws nothing");
    expect(() => begin({ text: "texts" })).toThrow("--text texts names no group of --data");
    expect(() => begin({ text: "plain" }).part.batches!(source(["plain"]), given)).toThrow("all rows are of --text");
  });

  test("of texts alone have their loss alone", () => {
    const one = collate([[rows[0]!]]);
    const numbers = numbersOf(one, [{ sequence: rows[0]!, prompt: 0, worth: undefined }], 0.5);
    expect(numbers.single.every((x) => x === 0)).toBe(true);
    expect([...numbers.text.slice(0, 4)]).toEqual([0.5, 0.5, 0.5, 0.5]);
  });
});
