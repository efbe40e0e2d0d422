/** Rows scored by a tiny model: whatever the batch, and what is unknown of a row that was cut to its prompt. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import { Model } from "../../../src/model/model.ts";
import { meanLoss } from "../../../src/run/scoring/mean-loss.ts";
import { likelihoods, rowLosses } from "../../../src/run/scoring/row-losses.ts";
import { scoreExamples, scoreSequences } from "../../../src/run/scoring/score-rows.ts";
import { readingsOf, scoreText } from "../../../src/run/scoring/score-text.ts";
import { type Need, summedLoss } from "../../../src/run/scoring/scored-row.ts";
import { Scorer } from "../../../src/run/scoring/scorer.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const signal = new AbortController().signal;

/** A sequence of which the last `counted` tokens count. */
const sequence = (list: readonly number[], counted = list.length): Sequence => {
  const ids = Int32Array.from(list);
  const labels = ids.map((id, i) => (i >= list.length - counted ? id : -100));
  return { ids, labels, group: 0, place: "here" };
};
const CUT = sequence([9, 8, 7, 6, 5, 4, 3], 0);
const ROWS = [sequence([1, 2, 3, 4, 5]), CUT, sequence([9, 8, 7, 6, 5, 4, 3], 2)];

const ref = "tiny";

describe("a language model", () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 3, freeze: () => true });
  });
  afterAll(() => model.free());

  test("scores rows the same whatever is run beside them", async () => {
    const all = await scoreSequences(model, ROWS, 0, { rows: 3, signal, ref });
    const single = await scoreSequences(model, ROWS, 0, { rows: 1, signal, ref });
    expect(all.map(({ nll }) => nll.length)).toEqual([4, 0, 2]);
    for (const [i, { nll, argmax }] of all.entries()) {
      expect(argmax).toEqual(single[i]!.argmax);
      for (const [t, loss] of nll.entries()) expect(loss).toBeCloseTo(single[i]!.nll[t]!, 5);
    }
  });

  test("has no loss for a row of which no token counts", async () => {
    const scorer = new Scorer(model);
    const scored = await scoreSequences(model, ROWS, 0, { rows: 2, signal, ref, scorer });
    const losses = await rowLosses(scorer, ROWS, { rows: 2, signal });
    await scorer.free();
    expect(losses.map(({ mean }) => mean)).toEqual(scored.map((row) => meanLoss(row)));
    expect(losses[1]).toEqual({ sum: 0, counted: 0, mean: Number.NaN });
    expect(await likelihoods(model, ROWS, { rows: 2, signal })).toEqual(losses.map(({ sum }) => sum));
  });

  test("tells how many readings are done, as many as were foreseen", async () => {
    const question = { ids: [1, 2], expected: "3", group: 0, place: "here" };
    const needs = new Set<Need>(["gradient", "generated"]);
    const tokenizer = byteTokenizer();
    const tools = { tokenizer, encode: {}, files: new Map() };
    const data = { kind: "text" as const, sequences: ROWS, questions: ROWS.map(() => question) };
    const trainable = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 3 });
    let count = 0;
    const done = (rows: number) => {
      count += rows;
    };
    await scoreText(trainable, data, tools, { rows: 2, signal, ref, needs, maxTokens: 1, done });
    trainable.free();
    expect(count).toBe(9);
    expect(readingsOf(data, needs)).toBe(9);
    expect(readingsOf({ kind: "text", sequences: ROWS }, new Set())).toBe(3);
  });

  test("sums the losses of choices, where all of them fit into what it reads", async () => {
    const choices = [
      { group: 0, first: 0, count: 2, answer: 1, bytes: [1, 2], isWhole: true },
      { group: 0, first: 2, count: 2, answer: 0, bytes: [1, 1], isWhole: false },
    ];
    const sequences = [sequence([1, 2, 3], 1), sequence([1, 2, 4], 1), CUT, sequence([1, 2, 3], 1)];
    const tools = { tokenizer: undefined, encode: {}, files: new Map() };
    const options = { rows: 4, signal, ref, needs: new Set<never>(), maxTokens: 1 };
    const rows = await scoreText(model, { kind: "text", sequences, choices }, tools, options);
    const [left, right] = await scoreSequences(model, sequences.slice(0, 2), 0, { rows: 2, signal, ref });
    expect(rows[0]!.choice).toMatchObject({
      losses: [left!, right!].map((row) => expect.closeTo(summedLoss(row), 6)),
      tokens: [1, 1],
      bytes: [1, 2],
      expected: 1,
    });
    expect(rows[1]!.choice).toBeUndefined();
  });
});

test("a classifier has one loss an example", async () => {
  const [name, json] = Object.entries(TINY_EXAMPLES)[0]!;
  const model = await Model.fresh(gpu, json, name, { seed: 1, freeze: () => true });
  const shape = model.sizes.example!;
  const size = shape.reduce((a, b) => a * b, 1);
  const examples = [0, 1, 2].map((label) => ({
    form: "example" as const,
    x: new Float32Array(size).fill(label - 1),
    shape,
    label,
    group: label % 2,
    place: "here",
    extra: {},
  }));
  const rows = await scoreExamples(model, examples, { rows: 2, signal, ref });
  const scorer = new Scorer(model);
  const losses = await rowLosses(scorer, examples, { rows: 3, signal });
  await scorer.free();
  model.free();
  expect(rows.map(({ group, targets }) => [group, ...targets])).toEqual([
    [0, 0],
    [1, 1],
    [0, 2],
  ]);
  for (const [i, row] of rows.entries()) expect(losses[i]!.mean).toBeCloseTo(meanLoss(row), 5);
});
