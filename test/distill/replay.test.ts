/** DistiLLM's adaptive batches: when the student's own answers are used, which are kept, and what is saved. */
import { describe, expect, test } from "bun:test";
import { type Batch, collate, isTokens } from "../../src/data/batch.ts";
import { Random } from "../../src/data/random.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import type { BatchesGiven } from "../../src/distill/capability.ts";
import { ReplayState, replayedAnswers, replayedBatches } from "../../src/distill/replay.ts";
import { Model } from "../../src/model/model.ts";
import type { BatchSource } from "../../src/run/training/batch-source.ts";
import { sequencesOf } from "../experiments/distill-support.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const options = { slack: 0.1, buffer: 4 };
const answersOf = (count: number, first = 0): Sequence[] =>
  sequencesOf(Array.from({ length: count }, (_, i) => [1, 2, first + i])).map((row) => ({
    ...row,
    labels: Int32Array.from(row.ids, (id, i) => (i < 2 ? -100 : id)),
  }));
const lastOf = (rows: readonly Sequence[]) => rows.map(({ ids }) => ids[2]!);

describe("how much the student's own answers count", () => {
  test("grows by a tenth with every loss above the best by the slack, to 1 at most", () => {
    const state = new ReplayState(options);
    const phi = [2, 2.05, 1.9, 1.95, 2.0, 3, 1.5, 1.6].map((loss) => {
      state.hear(loss);
      return Math.round(10 * state.phi);
    });
    // Best: 2, 2, 1.9, 1.9, 1.9, 1.9, 1.5, 1.5
    expect(phi).toEqual([0, 0, 0, 0, 1, 2, 2, 3]);
    for (let i = 0; i < 20; i++) state.hear(9);
    expect(state.phi).toBe(1);
  });

  test("is the share of draws that are written or kept; of a full buffer ever fewer are written", () => {
    const draws = 4000;
    const state = new ReplayState(options);
    for (let i = 0; i < 6; i++) state.hear(1 + i); // phi 0.5
    state.keep(answersOf(4));
    const kinds = Array.from({ length: draws }, () => state.draw(3, draws).kind);
    const share = (kind: string, from: number, to: number) =>
      kinds.slice(from * draws, to * draws).filter((one) => one === kind).length / ((to - from) * draws);
    expect(Math.abs(share("given", 0, 1) - 0.5)).toBeLessThan(0.03);
    // phi (1 - progress), with a progress of 1/8 and 7/8 in the middle of the first and the last quarter
    expect(Math.abs(share("written", 0, 0.25) - 0.5 * (7 / 8))).toBeLessThan(0.05);
    expect(Math.abs(share("written", 0.75, 1) - 0.5 / 8)).toBeLessThan(0.03);
  });

  test("while the buffer is not full, all of that share is written", () => {
    const state = new ReplayState({ slack: 0, buffer: 100 });
    for (let i = 0; i < 11; i++) state.hear(1 + i);
    expect(state.phi).toBe(1);
    for (let i = 0; i < 20; i++) expect(state.draw(1, 20).kind).toBe("written");
  });
});

test("the buffer keeps the latest answers, and gives each once", () => {
  const state = new ReplayState(options);
  state.keep(answersOf(3));
  state.keep(answersOf(3, 3));
  expect(lastOf(state.kept)).toEqual([2, 3, 4, 5]);
  const some = lastOf(state.some(3, new Random(1)));
  expect(new Set(some).size).toBe(3);
  expect(lastOf(state.some(9, new Random(2))).sort()).toEqual([2, 3, 4, 5]);
});

test("a saved state goes on where it was", () => {
  const [one, two] = [new ReplayState(options), new ReplayState(options)];
  for (const loss of [1, 2, 3]) one.hear(loss);
  one.keep(answersOf(4));
  for (let i = 0; i < 5; i++) one.draw(7, 50);
  two.load(JSON.parse(JSON.stringify(one.state())));
  expect(two.kept).toEqual(one.kept);
  for (let i = 5; i < 50; i++) {
    const [a, b] = [one.draw(7, 50), two.draw(7, 50)];
    expect(a.kind).toBe(b.kind);
    if (a.kind === "kept") expect(one.some(2, a.random)).toEqual(two.some(2, b.random));
  }
  for (const wrong of [null, {}, { kept: [3], phi: 0, best: null, count: 0 }, { kept: [], phi: "0" }])
    expect(() => one.load(wrong)).toThrow("has no state of replayed answers");
});

test("without held-out losses on the way it is refused", () => {
  const begun = { method: "distillm", named: ["large"], weights: { distill: 1, labels: 0 }, evaluates: false };
  expect(() => replayedAnswers.begin(options, begun)).toThrow("none is measured");
});

test("batches are given, written and kept, each answer after its prompt", async () => {
  const model = await Model.fresh(await sharedGpu(), TINY_TEXT.llama!, "student", { seed: 1 });
  const rows = answersOf(2, 10);
  let batch = 0;
  const source = {
    groups: [],
    batchesPerEpoch: 9,
    largest: () => collate(rows.map((row) => [row])),
    next: () => ({ batch: collate(rows.map((row) => [row])), epoch: batch++ && 0 }),
    state: () => ({ made_with: {}, epoch: 0, batch, drawn: [] }),
    load: () => {},
  } satisfies BatchSource<Batch>;
  const state = new ReplayState({ slack: 0, buffer: 6 });
  const drawing = {
    ...{ student: model, teacher: undefined, seed: 5, batches: 40 },
    tools: { tokenizer: undefined, encode: { maxLength: 16 }, files: new Map() },
    options: { sample_temperature: 1, sample_tokens: 4, prompt_tokens: 2, eval_every: 2 },
  } as never as BatchesGiven;
  const { source: replayed, controllers } = replayedBatches(state, source, drawing);
  const next = async () => {
    const { batch: given } = await replayed.next();
    if (!isTokens(given)) throw new Error("no tokens");
    return given.documents.map(({ sequence }) => sequence);
  };
  expect(await next()).toEqual(rows); // phi is 0
  const [controller] = controllers;
  expect(controller!.due!(2) && !controller!.due!(3)).toBe(true);
  for (let i = 0; i < 12; i++)
    await controller!.after!(2, { groups: [], losses: async () => [{ name: "a", loss: 1 + i, counted: 1 }] });
  expect(controller!.values!(1)).toEqual({ own_answers: 1 });
  const seen: Sequence[][] = [];
  while (state.kept.length < 6) seen.push(await next());
  expect(seen).toHaveLength(3);
  expect(state.kept).toEqual(seen.flat());
  for (const row of seen.flat()) {
    expect([...row.ids.slice(0, 2)]).toEqual([1, 2]);
    expect([...row.labels]).toEqual([-100, -100, ...row.ids.slice(2)]);
    expect(row.ids).toHaveLength(6);
  }
  let again = 0;
  for (let i = 0; i < 30; i++) {
    const held = [...state.kept];
    const found = await next();
    if (found.every((row) => held.includes(row))) again++;
  }
  expect(again).toBeGreaterThan(5);
  model.free();
});
