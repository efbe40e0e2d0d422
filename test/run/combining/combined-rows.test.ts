/** A rule on texts that are given: as it draws token by token, as a scorer, and as a teacher that is written down. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collate } from "../../../src/data/batch.ts";
import { Model } from "../../../src/model/model.ts";
import { CombinedRows } from "../../../src/run/combining/combined-rows.ts";
import { CombinedScorer } from "../../../src/run/combining/combined-scorer.ts";
import { CombinedSource } from "../../../src/run/combining/combined-source.ts";
import type { Rule } from "../../../src/run/combining/contract.ts";
import { logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { Scorer } from "../../../src/run/scoring/scorer.ts";
import { TeacherCache } from "../../../src/run/teachers/teacher-cache.ts";
import { writeCache } from "../../../src/run/teachers/write-teacher-cache.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const V = 50;
const dense = await Model.fresh(gpu, TINY_TEXT.llama!, "m", { seed: 1 });
const sparse = await Model.fresh(gpu, TINY_EXPERTS.mixtral!, "x", { seed: 2 });
const folder = mkdtempSync(join(tmpdir(), "ingot-combined-"));
afterAll(() => {
  for (const model of [dense, sparse]) model.free();
  rmSync(folder, { recursive: true });
});

/** Prompts of three tokens and of one, after which all counts. */
const SEQUENCES = [
  { ids: [1, 2, 3, 4, 5, 6], prompt: 3 },
  { ids: [9, 8, 7, 6], prompt: 0 },
].map(({ ids, prompt }, row) => ({
  ...{ ids: Int32Array.from(ids), labels: Int32Array.from(ids, (id, i) => (i < prompt ? -100 : id)) },
  ...{ group: 0, place: `rows.jsonl:${row + 1}` },
}));
const promptOf = (row: number) => [...SEQUENCES[row]!.ids.subarray(0, row === 0 ? 3 : 1)];

/** The sum of what four views say, and a fifth of it more with every token of an answer. */
const RULE: Rule = {
  views: [
    { model: 0 },
    { model: 1, ranks: [1] },
    { model: 0, layer: 1 },
    { model: 1, prompt: (ids) => [7, ...ids, ...ids] },
  ],
  begin() {
    let factor = 0.8;
    return (said) => {
      factor += 0.2;
      return said[0]!.map((_, id) => factor * said.reduce((sum, own) => sum + own[id]!, 0));
    };
  },
};
const models = [dense, sparse];

/** What the rule draws from behind the prompt and `count` tokens of a row. */
async function drawnFrom(row: number, count: number): Promise<Float64Array> {
  const source = new CombinedSource(RULE, models, { refs: ["m", "x"] });
  const prompt = promptOf(row);
  let logits = await source.read([prompt], { most: 20, names: ["a"] });
  for (let made = 1; made <= count; made++)
    logits = await source.next([[...SEQUENCES[row]!.ids.subarray(0, prompt.length + made)]], new Set([0]));
  source.free();
  return logProbabilities(logits);
}

test("a combined teacher's distributions, written down, are what is drawn from at the same places", async () => {
  const file = join(folder, "teacher.safetensors");
  const signal = new AbortController().signal;
  const rows = new CombinedRows(RULE, models, 0);
  await writeCache(file, rows, SEQUENCES, { ref: "m", k: V, rows: 2, pad: 0, lineage: [], signal });
  const cache = await TeacherCache.open(file);
  expect(cache.vocabulary).toBe(V);
  const batch = collate(SEQUENCES.map((sequence) => [sequence]));
  const { logits } = await cache.rows(batch);
  for (const [row, { ids }] of SEQUENCES.entries()) {
    const { length } = promptOf(row);
    for (let count = 0; length + count < ids.length; count++) {
      const want = await drawnFrom(row, count);
      const at = (row * batch.length + length - 1 + count) * (V + 1);
      for (let id = 0; id < V; id++) expect(logits[at + id]!).toBeCloseTo(want[id]!, 3);
    }
  }
  cache.close();
});

test("a scorer of the trivial rule says what the model's own says", async () => {
  const gives = { moments: true, probabilities: true };
  const trivial: Rule = { views: [{ model: 0 }], begin: () => (said) => said[0]! };
  const combined = new CombinedScorer(new CombinedRows(trivial, [dense], 0), gives);
  const plain = new Scorer(dense, undefined, gives);
  const batch = collate(SEQUENCES.map((sequence) => [sequence]));
  const [found, want] = [await combined.score(batch), await plain.score(batch)];
  expect(found.targets).toEqual(want.targets);
  for (const [i, target] of want.targets.entries()) {
    if (target < 0) continue;
    expect(found.nll[i]!).toBeCloseTo(want.nll[i]!, 4);
    expect(found.argmax[i]).toBe(want.argmax[i]!);
    expect(found.confidence[i]!).toBeCloseTo(want.confidence[i]!, 5);
    for (const part of [0, 1]) expect(found.moments![2 * i + part]!).toBeCloseTo(want.moments![2 * i + part]!, 3);
    for (let id = 0; id < V; id++)
      expect(found.probabilities![i * V + id]!).toBeCloseTo(want.probabilities![i * V + id]!, 5);
  }
  await combined.free();
  await plain.free();
});

test("a row that is too long behind another prompt is refused", async () => {
  const long: Rule = {
    views: [{ model: 0, prompt: () => Array<number>(63).fill(1) }],
    begin: () => (said) => said[0]!,
  };
  const rows = new CombinedRows(long, [dense], 0);
  const batch = collate(SEQUENCES.map((sequence) => [sequence]));
  await expect(rows.of(batch)).rejects.toThrow(
    "rows.jsonl:1: behind the other prompt of the method the row has 66 tokens",
  );
  rows.free();
});
