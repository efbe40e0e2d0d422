/** Answers that theta0 samples for altpo, on a model of random weights. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadSequences } from "../../src/data/dataset.ts";
import { parseGroups } from "../../src/data/groups.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { Model } from "../../src/model/model.ts";
import { sequenceBatches } from "../../src/run/training/batch-source.ts";
import { withSequences } from "../../src/unlearn/batches.ts";
import type { ForgetSet } from "../../src/unlearn/capability.ts";
import { type Alternatives, SampledAnswers } from "../../src/unlearn/sampled-answers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-wanted-"));
const groups = parseGroups([join(folder, "rows.jsonl")]);
const tokenizer = byteTokenizer();
const encode = { tokenizer, vocabSize: 264, maxLength: 64 };
const tools = { tokenizer, encode, files: tokenizer.files };
const ROWS = [
  { prompt: "a:", completion: " bcd" },
  { prompt: "ef:", completion: " g" },
  { prompt: "hij:", completion: " klmnop" },
];
const HOW: Alternatives = { samples: 3, temperature: 1, instruction: undefined, maxTokens: undefined };
const signal = new AbortController().signal;

let model: Model;
let sequences: readonly Sequence[];
beforeAll(async () => {
  writeFileSync(join(folder, "rows.jsonl"), ROWS.map((row) => `${JSON.stringify(row)}\n`).join(""));
  model = await Model.fresh(gpu, { ...TINY_TEXT.llama!, vocab_size: 264 }, "llama", { seed: 3 });
  sequences = (await loadSequences(groups, encode)).sequences;
});
afterAll(() => {
  model.free();
  rmSync(folder, { recursive: true, force: true });
});

const setOf = (own: readonly Sequence[], from = groups): ForgetSet => ({
  sequences: own,
  groups: from,
  tools,
  pad: 0,
  seed: 1,
  method: "altpo",
});
const of = (how: Partial<Alternatives> = {}) => SampledAnswers.of(setOf(sequences), { ...HOW, ...how });
async function drawn(how = {}, run: { seed?: number; batch?: number } = {}): Promise<SampledAnswers> {
  const answers = await of(how);
  expect(await answers.sample(model, { seed: 1, batch: 4, signal, ...run })).toBe(0);
  return answers;
}
const textOf = ({ ids }: Sequence) => tokenizer.decode(ids);

describe("sampled answers", () => {
  test("are to the row's own prompt, several for each, and only the answer counts", async () => {
    const { sequences: own, wanted } = await drawn();
    expect(own.map(textOf)).toEqual(sequences.flatMap((row) => [row, row, row].map(textOf)));
    expect(new Set(own).size).toBe(9);
    for (const [i, { ids, labels }] of wanted.entries()) {
      const prompt = [...tokenizer.encode(ROWS[Math.floor(i / 3)]!.prompt)];
      expect([...ids.slice(0, prompt.length)]).toEqual(prompt);
      expect([...labels]).toEqual([...prompt.map(() => -100), ...ids.slice(prompt.length)]);
      // " klmnop" and the end.
      expect(ids.length - prompt.length).toBeLessThanOrEqual(8);
      expect(ids.length).toBeGreaterThan(prompt.length);
    }
    expect(new Set(wanted.map(textOf)).size).toBe(9);
  });

  test("are each drawn once an epoch", async () => {
    const two = parseGroups([`a=${join(folder, "rows.jsonl")}`, `b=${join(folder, "rows.jsonl")}`]);
    const data = await loadSequences(two, encode);
    const answers = await SampledAnswers.of(setOf(data.sequences, two), HOW);
    const batches = sequenceBatches(withSequences(data, answers.sequences), { batchSize: 4, seed: 5, shuffle: true });
    expect(batches.batchesPerEpoch).toBe(5); // 2 groups of 3 rows, 3 answers each
    const seen: Sequence[] = [];
    for (let i = 0; i < 5; i++) {
      const { batch, epoch } = await batches.next();
      expect(epoch).toBe(0);
      seen.push(...batch.documents.map(({ sequence }) => sequence));
    }
    expect(new Set(seen)).toEqual(new Set(answers.sequences));
    expect(seen).toHaveLength(18);
  });

  test("depend on the seed, and not on how many are drawn at a time", async () => {
    const [one, other, third] = [await drawn(), await drawn({}, { batch: 2 }), await drawn({}, { seed: 2 })];
    expect(other.state()).toEqual(one.state());
    expect(third.state()).not.toEqual(one.state());
    const again = await of();
    again.load(one.state());
    expect(again.wanted).toEqual(one.wanted);
  });

  test("read the instruction, which is not trained on", async () => {
    const [plain, told] = [await drawn(), await drawn({ instruction: "Other facts." })];
    expect(told.state()).not.toEqual(plain.state());
    for (const [i, { ids }] of told.wanted.entries())
      expect(tokenizer.decode(ids).startsWith(ROWS[Math.floor(i / 3)]!.prompt)).toBe(true);
  });

  test("never pass the longest they were planned for", async () => {
    const answers = await of({ maxTokens: 5, temperature: 3 });
    const planned = answers.wanted.map(({ ids }) => ids.length);
    expect(planned).toEqual(sequences.flatMap((_, i) => Array(3).fill(ROWS[i]!.prompt.length + 5)));
    await answers.sample(model, { seed: 1, batch: 4, signal });
    for (const [i, { ids }] of answers.wanted.entries()) expect(ids.length).toBeLessThanOrEqual(planned[i]!);
  });

  test("are drawn again while they are the answer to forget", async () => {
    // What it says without chance is the answer to forget: at a low temperature it is drawn nearly every time, at a
    // higher one seldom.
    const greedy = await of({ samples: 1, temperature: 1e-3 });
    await greedy.sample(model, { seed: 1, batch: 3, signal });
    const rows = greedy.wanted;
    const certain = await SampledAnswers.of(setOf(rows), { ...HOW, temperature: 1e-3, maxTokens: 8 });
    expect(await certain.sample(model, { seed: 1, batch: 9, signal })).toBe(9);
    const others = await SampledAnswers.of(setOf(rows), { ...HOW, maxTokens: 8 });
    expect(await others.sample(model, { seed: 1, batch: 9, signal })).toBe(0);
    for (const [i, { ids }] of others.wanted.entries()) expect([...ids]).not.toEqual([...others.sequences[i]!.ids]);
  });
});
