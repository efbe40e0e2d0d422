/** Encoders as embedders: vectors and their loss against float64, names of tensors, files of sentence-transformers. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import { type PairInput, stackExamples } from "../../src/data/batch.ts";
import { UserError } from "../../src/errors.ts";
import type { Json } from "../../src/model/architecture.ts";
import { longestOf, poolingOf } from "../../src/model/embedder.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_ENCODERS } from "../support/tiny-models.ts";
import { encoded, type Text } from "./reference-encoder.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-embedder-"));
afterAll(() => rmSync(made, { recursive: true }));

const TYPES = ["bert", "distilbert", "roberta", "xlm-roberta"];
const text = (ids: readonly number[]): Text => ({ ids, types: ids.map(() => 0) });
const TEXTS = [
  [2, 8, 9, 3],
  [2, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 3],
  [2, 40, 41, 42, 43, 3],
  [2, 11, 12, 3],
  [2, 13, 3],
].map(text);
const sentences = ({ ids, types }: Text) => ({ ids: Int32Array.from(ids), types: Int32Array.from(types) });

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const MODULES = [
  { idx: 0, name: "0", path: "", type: "sentence_transformers.models.Transformer" },
  { idx: 1, name: "1", path: "1_Pooling", type: "sentence_transformers.models.Pooling" },
  { idx: 2, name: "2", path: "2_Normalize", type: "sentence_transformers.models.Normalize" },
];
const filesOf = (json: Json, more: Readonly<Record<string, unknown>> = {}) =>
  new Map(Object.entries({ "config.json": json, ...more }).map(([name, value]) => [name, bytes(value)]));

/** A classifier whose norms and biases are no ones and zeros, saved with further files. */
async function saved(name: string, json: Json, more: Readonly<Record<string, unknown>>): Promise<string> {
  const model = await Model.fresh(gpu, json, "m", { seed: 4 });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
  const folder = join(made, name.replaceAll(" ", "-"));
  await saveModel(model, `${folder}/`, { files: filesOf(json, more), lineage: [] });
  model.free();
  return folder;
}

/** The weights of a classifier by name. */
async function weightsOf(folder: string): Promise<(name: string) => Float64Array> {
  const checkpoint = await open(folder);
  const model = await Model.load(gpu, checkpoint);
  const values = new Map<string, Float64Array>();
  for (const [name, parameter] of model.parameters)
    values.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, parameter.size)));
  model.free();
  checkpoint.close();
  return (name) => values.get(name)!;
}

async function embedder(folder: string, temperature?: number): Promise<Model> {
  const checkpoint = await open(folder);
  const model = await Model.load(gpu, checkpoint, { embeds: { temperature } });
  checkpoint.close();
  return model;
}

/** Vectors of the texts, one after the other. */
async function vectorsOf(model: Model, texts: readonly Text[]): Promise<number[][]> {
  const batch = stackExamples(texts.map((one) => ({ tokens: sentences(one), label: 0 })));
  const rec = new Recorder(profileOf(gpu), { training: false });
  rec.output("vectors", model.record(rec, recordInputs(rec, batch)).hidden);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const found = await program.read("vectors");
  program.free();
  const width = found.length / texts.length;
  return texts.map((_, i) => [...found.subarray(i * width, (i + 1) * width)]);
}

const column = (states: readonly ArrayLike<number>[], i: number) => states.map((row) => row[i]!);
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const unit = (x: readonly number[]) => x.map((value) => value / Math.hypot(...x));
const POOLINGS: Readonly<Record<string, (values: readonly number[]) => number>> = {
  pooling_mode_mean_tokens: (values) => sum(values) / values.length,
  pooling_mode_mean_sqrt_len_tokens: (values) => sum(values) / Math.sqrt(values.length),
  pooling_mode_cls_token: ([first]) => first!,
  pooling_mode_max_tokens: (values) => Math.max(...values),
};
const apart = (found: readonly number[], wanted: readonly number[]): number =>
  Math.max(...wanted.map((x, i) => Math.abs(x - found[i]!))) / Math.max(...wanted.map(Math.abs));

describe.each(TYPES)("%s", (name) => {
  const json = TINY_ENCODERS[name]!;

  test.each(Object.entries(POOLINGS))("vectors are those of float64: %s", async (mode, pool) => {
    const folder = await saved(`${name}-${mode}`, json, {
      "modules.json": MODULES.slice(0, 2),
      "1_Pooling/config.json": { word_embedding_dimension: 24, pooling_mode_mean_tokens: false, [mode]: true },
    });
    const weights = await weightsOf(folder);
    const model = await embedder(folder);
    const found = await vectorsOf(model, TEXTS);
    for (const [i, { states }] of encoded(json, weights, TEXTS).entries()) {
      const wanted = Array.from({ length: states[0]!.length }, (_, c) => pool(column(states, c)));
      expect(apart(found[i]!, wanted)).toBeLessThan(2e-5);
    }
    model.free();
  });

  test("InfoNCE is that of float64, and every gradient is its slope", async () => {
    const folder = await saved(`${name} pairs`, json, {});
    const weights = await weightsOf(folder);
    const model = await embedder(folder, 0.5);
    const [a, b, c, d, e] = TEXTS.map(sentences);
    // The first pair's negative stands for the second of the third: no wrong answer for that one.
    const pairs: PairInput[] = [
      { first: a!, second: b!, negatives: [d!] },
      { first: c!, second: e!, negatives: [] },
      { first: b!, second: d!, negatives: [] },
    ];
    const batch = stackExamples(pairs.map((pair) => ({ pair, label: 0 })));
    const objective = crossEntropyObjective(model);
    const rec = new Recorder(profileOf(gpu));
    const recorded = objective.record(rec, batch, "");
    rec.output("loss", recorded.metrics.loss!);
    rec.backward(recorded.backward);
    const program = await Program.compile(gpu, rec);
    objective.fill(program, batch, objective.counted(batch, ""), "");
    const lossAt = async () => {
      program.run({ accumulate: 0 });
      return (await program.read("loss"))[0]!;
    };
    const of = (one: Text) => unit(meanOf(encoded(json, weights, [one])[0]!.states));
    const wanted = infoNce(
      [0, 2, 1].map((i) => of(TEXTS[i]!)),
      [1, 4, 3, 3].map((i) => of(TEXTS[i]!)),
      [
        // The second text of the first pair is the first one of the third.
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [1, 2],
      ],
    );
    expect(Math.abs((await lossAt()) - wanted)).toBeLessThan(1e-5 * wanted);
    for (const parameter of model.parameters.values()) {
      await lossAt();
      const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
      const values = await gpu.readFloats(parameter.buffer, parameter.size);
      const length = Math.hypot(...gradient);
      const direction = length < 1e-5 ? normals(1, parameter.size) : gradient.map((x) => x / length);
      const moved = async (by: number) => {
        parameter.write(values.map((x, i) => x + by * direction[i]!));
        return lossAt();
      };
      const step = Math.min(0.02, 0.003 / length);
      const slope = ((await moved(step)) - (await moved(-step))) / (2 * step);
      parameter.write(values);
      const error = Math.abs(slope - (length < 1e-5 ? 0 : length)) / Math.max(length, 0.02);
      if (!(error < 0.01)) throw new Error(`${parameter.name}: ${length} by the gradient, ${slope} by differences`);
    }
    for (const one of [program, model]) one.free();
  }, 120_000);

  test("weights have the names of the bare encoder; the head is carried through", async () => {
    const folder = await saved(`${name} names`, json, { "modules.json": MODULES });
    const warned: string[] = [];
    const checkpoint = await open(folder);
    const model = await Model.load(gpu, checkpoint, { embeds: {}, warn: (message) => warned.push(message) });
    expect([...model.parameters.keys()].every((key) => /^(embeddings|encoder|transformer)\./.test(key))).toBe(true);
    expect(warned.join()).toContain("are carried through as they are");
    const again = join(made, `${name}-again`);
    await saveModel(model, `${again}/`, { files: checkpoint.files, lineage: [] });
    const other = await open(again);
    expect([...other.tensors.keys()]).toEqual([...checkpoint.tensors.keys()]);
    expect([...other.files.keys()]).toContain("modules.json");
    const found = await vectorsOf(model, TEXTS);
    model.free();
    const loaded = await embedder(again);
    expect(await vectorsOf(loaded, TEXTS)).toEqual(found);
    // modules.json asks for Normalize.
    for (const vector of found) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    loaded.free();
    for (const one of [checkpoint, other]) one.close();
  });

  test("a new one is the bare encoder, and loads as it was", async () => {
    const model = await Model.fresh(gpu, json, "m", { seed: 4, embeds: {} });
    const folder = join(made, `${name}-bare`);
    await saveModel(model, `${folder}/`, { files: filesOf(json), lineage: [] });
    const found = await vectorsOf(model, TEXTS);
    model.free();
    const loaded = await embedder(folder);
    expect(await vectorsOf(loaded, TEXTS)).toEqual(found);
    expect(loaded.architecture.className).toMatch(/^(Bert|DistilBert|Roberta|XLMRoberta)Model$/);
    loaded.free();
  });
});

const meanOf = (states: readonly ArrayLike<number>[]): number[] =>
  Array.from({ length: states[0]!.length }, (_, c) => sum(column(states, c)) / states.length);

/** Mean loss at temperature 0.5; `among`: the candidates of every row. */
function infoNce(
  firsts: readonly (readonly number[])[],
  candidates: readonly (readonly number[])[],
  among: readonly (readonly number[])[],
): number {
  const cosine = (a: readonly number[], b: readonly number[]) => sum(a.map((x, i) => x * b[i]!));
  const losses = firsts.map((first, i) => {
    const score = (j: number) => Math.exp(cosine(first, candidates[j]!) / 0.5);
    return -Math.log(score(i) / sum(among[i]!.map(score)));
  });
  return sum(losses) / losses.length;
}

describe("files of sentence-transformers", () => {
  const pooling = (more: Readonly<Record<string, unknown>>, warn?: (message: string) => void) =>
    poolingOf({ ref: "m", files: filesOf({}, more) }, warn);

  test("without any, the mean", () => expect(pooling({})).toEqual({ by: "mean", unit: false }));

  test("modules and pooling are read in both spellings", () => {
    const cls = { "1_Pooling/config.json": { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false } };
    expect(pooling({ "modules.json": MODULES, ...cls })).toEqual({ by: "cls", unit: true });
    expect(pooling({ "1_Pooling/config.json": { pooling_mode: "max" } })).toEqual({ by: "max", unit: false });
  });

  test.each([
    [
      { "modules.json": [...MODULES, { path: "3_Dense", type: "x.Dense" }] },
      "asks for Dense in 3_Dense as its module 3",
    ],
    [{ "modules.json": [MODULES[1]] }, "asks for Pooling in 1_Pooling as its module 0"],
    [{ "modules.json": [MODULES[0], { ...MODULES[1], path: "pool" }] }, "has its pooling in pool"],
    [{ "modules.json": {} }, "is not a list of modules"],
    [{ "1_Pooling/config.json": { pooling_mode_weightedmean_tokens: true } }, "pooling_mode_weightedmean_tokens"],
    [{ "1_Pooling/config.json": { pooling_mode: "lasttoken" } }, "asks for lasttoken"],
    [
      { "1_Pooling/config.json": { pooling_mode_cls_token: true, pooling_mode_max_tokens: true } },
      "pooling_mode_cls_token and pooling_mode_max_tokens",
    ],
    [{ "1_Pooling/config.json": {} }, "names no pooling"],
  ])("what is not run is refused by name: %j", (files, message) => {
    expect(() => pooling(files)).toThrow(UserError);
    expect(() => pooling(files)).toThrow(message);
  });

  test("prompts and another measure are told", () => {
    const said: string[] = [];
    const more = { default_prompt_name: "query", similarity_fn_name: "dot" };
    pooling({ "config_sentence_transformers.json": more }, (message) => said.push(message));
    expect(said).toHaveLength(2);
  });

  test("the length of texts", () => {
    const length = (max_seq_length: unknown) =>
      longestOf({ ref: "m", files: filesOf({}, { "sentence_bert_config.json": { max_seq_length } }) });
    expect(length(128)).toBe(128);
    expect(length(null)).toBeUndefined();
    expect(() => length(0)).toThrow("max_seq_length of 0");
  });
});
