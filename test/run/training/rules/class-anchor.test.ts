/** New phrases beside those of their classes: the term's slope, a weight of 0, and what a new word learns. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Batch, collate } from "../../../../src/data/batch.ts";
import type { Sequence } from "../../../../src/data/sequences.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { Model } from "../../../../src/model/model.ts";
import { sequenceBatches } from "../../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../../src/run/training/cross-entropy.ts";
import { ClassAnchor } from "../../../../src/run/training/rules/class-anchor.ts";
import { readPhrasePairs } from "../../../../src/run/training/rules/phrase-pairs.ts";
import { Training } from "../../../../src/run/training/train-model.ts";
import { copyState, type SavedTraining } from "../../../../src/run/training/training-state.ts";
import type { UpdateRule } from "../../../../src/run/training/update-rule.ts";
import { method as adamw } from "../../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { logitsOf } from "../../../support/logits.ts";
import { normals } from "../../../support/random.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();

const fresh = (seed = 3) => Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed });
const ids = (...all: number[]) => Int32Array.from(all);
const OPTIONS = { weight: 0.7, batch: 8, pool: "mean", pad: 0, seed: 1, info() {} } as const;
const PAIRS = [
  { fresh: ids(4, 9, 3), anchor: ids(4, 3) },
  { fresh: ids(7), anchor: ids(2, 5, 6, 8) },
  { fresh: ids(1, 2, 3, 4), anchor: ids(30) },
];

const valuesOf = async (model: Model) => {
  const all = [];
  for (const { buffer, size } of model.trainable()) all.push((await gpu.readFloats(buffer, size)).slice());
  return all;
};

test.each(["mean", "last"] as const)(
  "the gradient is the slope of the weighed mean of 1 - cosine, %s",
  async (pool) => {
    const model = await fresh();
    const rule = new ClassAnchor(model, PAIRS, { ...OPTIONS, pool });
    await rule.ahead(1);
    // The anchors stay those of the beginning.
    const begun = await valuesOf(model);
    const moved = begun.map((values, i) => values.map((x, at) => x + normals(i, values.length, 0.05)[at]!));
    for (const [i, parameter] of model.trainable().entries()) parameter.write(moved[i]!);
    for (const { gradient, size } of model.trainable()) gpu.clear(gradient, 4 * size);
    await rule.before(1);
    const direction = moved.map((values, i) => normals(100 + i, values.length));
    let slope = 0;
    for (const [i, { gradient, size }] of model.trainable().entries())
      slope += (await gpu.readFloats(gradient, size)).reduce((sum, g, at) => sum + g * direction[i]![at]!, 0);
    const at = async (by: number) => {
      for (const [i, parameter] of model.trainable().entries())
        parameter.write(moved[i]!.map((x, at) => x + by * direction[i]![at]!));
      return OPTIONS.weight * (1 - (await rule.meanCosine()));
    };
    expect(slope).toBeCloseTo(((await at(2e-3)) - (await at(-2e-3))) / 4e-3, 2);
    expect(Math.abs(slope)).toBeGreaterThan(0.05);
    rule.free();
    model.free();
  },
);

test("a phrase that is its own anchor has the cosine 1 at first", async () => {
  const model = await fresh();
  const rule = new ClassAnchor(model, [{ fresh: ids(3, 4), anchor: ids(3, 4) }], OPTIONS);
  await rule.ahead(1);
  expect(await rule.meanCosine()).toBeCloseTo(1, 5);
  rule.free();
  model.free();
});

const phrase = (...all: number[]) =>
  collate([[{ ids: ids(...all), labels: ids(...all), group: 0, place: "" }]], { buckets: "none" });

// Words of two classes, and an answer by context and class: [context, word, answer].
const CONTEXTS = 8;
const WORDS = [8, 9, 10, 11];
const NEW = 12;
const answerOf = (context: number, isSecond: boolean) => 13 + ((context + (isSecond ? 4 : 0)) % CONTEXTS);
const rowOf = (context: number, word: number, isSecond: boolean): Sequence => ({
  ids: ids(context, word, answerOf(context, isSecond)),
  labels: ids(-100, -100, answerOf(context, isSecond)),
  group: 0,
  place: `${context} ${word}`,
});
const KNOWN = WORDS.flatMap((word) => Array.from({ length: CONTEXTS }, (_, c) => rowOf(c, word, word > 9)));
/** The new word is of the first class, and is seen in two contexts. */
const SEEN = [0, 1].map((context) => rowOf(context, NEW, false));

/** A training on rows; `until` cuts it off, `from` goes on. */
async function learn(
  model: Model,
  sequences: readonly Sequence[],
  steps: number,
  updates: readonly UpdateRule[] = [],
  { until, from }: { until?: number; from?: SavedTraining } = {},
): Promise<SavedTraining | undefined> {
  const lengths = Int32Array.from(sequences, ({ ids }) => ids.length);
  const groups = [
    {
      name: "rows",
      rows: sequences.length,
      sequences: sequences.length,
      tokens: 3 * sequences.length,
      counted: sequences.length,
      lengths,
    },
  ];
  const training = await Training.make<Batch>({
    ...{ model, objective: crossEntropyObjective(model), optimizer: bindDefaults(adamw), rate: () => 0.01 },
    source: sequenceBatches({ sequences, groups }, { batchSize: 8, seed: 0 }),
    ...{ steps, seed: 0, updates },
  });
  if (from) await training.load(from);
  const abort = new AbortController();
  const save = async (step: number) => {
    if (step === until) abort.abort();
  };
  await training.run({ signal: abort.signal, save, saveEvery: 1 });
  const state = abort.signal.aborted ? await copyState(gpu, training.state()) : undefined;
  await training.free();
  return state;
}

test("a new word in unseen contexts goes on as its class does, more than without anchors; 0 is plain training", async () => {
  const model = await fresh();
  await learn(model, KNOWN, 150);
  const begun = await valuesOf(model);
  const restore = () => model.trainable().forEach((parameter, i) => void parameter.write(begun[i]!));
  const right = async () => {
    let count = 0;
    for (let context = 2; context < CONTEXTS; context++) {
      const logits = await logitsOf(gpu, model, phrase(context, NEW));
      const last = logits.slice(-model.sizes.outputs);
      if (last.indexOf(Math.max(...last)) === answerOf(context, false)) count++;
    }
    return count;
  };
  const pairs = [{ fresh: ids(NEW), anchor: ids(8) }];
  const found = [];
  const ends = [];
  for (const weight of [undefined, 0, 1]) {
    restore();
    const rule = weight === undefined ? [] : [new ClassAnchor(model, pairs, { ...OPTIONS, weight, pool: "last" })];
    await learn(model, SEEN, 12, rule);
    found.push(await right());
    ends.push(await valuesOf(model));
  }
  expect(ends[1]).toEqual(ends[0]!);
  expect(found[2]!).toBeGreaterThan(found[0]!);
  model.free();
});

test("goes on bit for bit: the anchors are those of the beginning", async () => {
  const model = await fresh();
  const begun = await valuesOf(model);
  const restore = (values: readonly Float32Array[]) =>
    model.trainable().forEach((parameter, i) => void parameter.write(values[i]!));
  await learn(model, SEEN, 5, [new ClassAnchor(model, PAIRS, OPTIONS)]);
  const whole = await valuesOf(model);
  restore(begun);
  const state = await learn(model, SEEN, 5, [new ClassAnchor(model, PAIRS, OPTIONS)], { until: 3 });
  const told: string[] = [];
  const again = new ClassAnchor(model, PAIRS, { ...OPTIONS, info: (text) => void told.push(text) });
  await learn(model, SEEN, 5, [again], { from: state! });
  expect(await valuesOf(model)).toEqual(whole);
  expect(told[0]).toMatch(/^new phrases and their anchors: mean cosine -?0\.\d{4} at first, 0\.\d{4} at the end$/);
  model.free();
});

test("pairs are read line by line, and what is none is refused with its place", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-pairs-"));
  const file = join(folder, "pairs.jsonl");
  writeFileSync(file, '{"new": "a blicket dog", "anchor": "a dog"}\n');
  expect(await readPhrasePairs(file)).toEqual([{ fresh: "a blicket dog", anchor: "a dog", place: `${file}:1` }]);
  writeFileSync(file, '{"new": "a dog", "anchor": "a"}\n{"new": "a dog"}\n');
  await expect(readPhrasePairs(file)).rejects.toThrow("pairs.jsonl:2: anchor should be a phrase, found nothing");
  writeFileSync(file, "");
  await expect(readPhrasePairs(file)).rejects.toThrow("has no pairs");
  await expect(readPhrasePairs(join(folder, "none"))).rejects.toThrow("cannot be read");
  rmSync(folder, { recursive: true });
});
