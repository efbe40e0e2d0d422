/**
 * Models whose frozen matrices stay codes: LoRA learns on them what it learns on a base of the same values in f32, and
 * they take the room that their bits say. Products are tested in tensor/linear-algebra/packed-products.test.ts.
 */
import { expect, test } from "bun:test";
import type { Checkpoint, TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { matrixValues } from "../../src/checkpoint/quantized/matrix.ts";
import { collate } from "../../src/data/batch.ts";
import { bind } from "../../src/method/bind.ts";
import type { Json } from "../../src/model/architecture.ts";
import { codesForm, type LoadIn, mayBeCodes, roundedRows } from "../../src/model/held-codes.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { unpackRows } from "../../src/tensor/packed.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/adamw.ts";
import { entryOf } from "../support/entry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { normals } from "../support/random.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
/** With INGOT_TEST_LONG=1 more architectures, of which each compiles kernels of its own. */
const LONG = process.env.INGOT_TEST_LONG === "1";

const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3, 3, 8, 12, 30, 31, 17, 25, 6);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });

const checkpointOf = (json: Json, tensors: readonly TensorEntry[]): Checkpoint => ({
  ...{ ref: "tiny", kind: "file", lineage: [], headerSha256: "", close: () => {} },
  tensors: new Map(tensors.map((entry) => [entry.name, entry])),
  files: new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]),
});

/** A new model's weights, drawn, in bf16. */
async function drawn(json: Json): Promise<{ checkpoint: Checkpoint; matrices: ReadonlySet<string> }> {
  const model = await Model.fresh(gpu, json, "tiny", { seed: 4 });
  const entries = model.stored.map(({ name, shape }, i) => {
    const count = shape.reduce((all, side) => all * side, 1);
    const values = normals(i, count, 0.3);
    return entryOf(name, "BF16", shape, shape.length === 1 ? values.map((x) => 1 + x) : values);
  });
  const held = model.specs.filter((spec) => mayBeCodes(spec, model.architecture.headModules));
  const matrices = new Set(held.flatMap(({ name, parts }) => parts ?? [name]));
  model.free();
  return { checkpoint: checkpointOf(json, entries), matrices };
}

/** The same checkpoint with the values that its matrices' codes have. */
async function dequantized({ tensors, files }: Checkpoint, matrices: ReadonlySet<string>, loadIn: LoadIn) {
  const entries = await Promise.all(
    [...tensors.values()].map(async (entry) => {
      if (!matrices.has(entry.name)) return entry;
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      const values = roundedRows(decodeFloats(bytes, entry.dtype), codesForm([entry], loadIn)!);
      return entryOf(entry.name, "F32", entry.shape, matrixValues(values));
    }),
  );
  return checkpointOf(JSON.parse(new TextDecoder().decode(files.get("config.json"))), entries);
}

/** Gradients of LoRA's factors, and the loss, after one pass back. */
async function learnt(checkpoint: Checkpoint, loadIn?: LoadIn): Promise<ReadonlyMap<string, Float32Array>> {
  const lora = { rank: 3, alpha: 6, targets: ["all-linear"], seed: 1 };
  const model = await Model.load(gpu, checkpoint, { lora, loadIn });
  for (const [i, { b }] of [...loraOf(model).entries.values()].entries()) b.write(normals(i, b.size, 0.1));
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const { backward } = objective.record(rec, BATCH, "");
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, BATCH, objective.counted(BATCH, ""), "");
  program.run({ accumulate: 0 });
  const found = new Map<string, Float32Array>();
  for (const { name, gradient, size } of model.trainable()) found.set(name, await gpu.readFloats(gradient, size));
  program.free();
  model.free();
  return found;
}

const llama = { ...TINY_TEXT.llama!, hidden_size: 72, intermediate_size: 136 };
const MODELS: readonly (readonly [string, LoadIn, Json])[] = [
  ["llama", "4bit", llama],
  ...(LONG
    ? ([
        ["llama", "8bit", llama],
        ["gpt2", "4bit", TINY_TEXT.gpt2!],
        ["olmoe", "4bit", TINY_EXPERTS.olmoe!],
        ["deepseek_v3", "8bit", TINY_DECODERS.deepseek_v3!],
        ["gpt_oss", "4bit", TINY_DECODERS.gpt_oss!],
      ] as const)
    : []),
];

test.each(MODELS)("%s in %s: gradients are those of a base of the same values", async (_, loadIn, json) => {
  const { checkpoint, matrices } = await drawn(json);
  const wanted = await learnt(await dequantized(checkpoint, matrices, loadIn));
  const found = await learnt(checkpoint, loadIn);
  expect([...found.keys()]).toEqual([...wanted.keys()]);
  for (const [name, gradient] of wanted) {
    const most = gradient.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
    const gap = gradient.reduce((largest, x, i) => Math.max(largest, Math.abs(x - found.get(name)![i]!)), 0);
    expect(most).toBeGreaterThan(0);
    expect(gap / most).toBeLessThan(1e-5);
  }
});

/** Losses of so many steps of LoRA. */
async function losses(checkpoint: Checkpoint, steps: number, loadIn?: LoadIn): Promise<number[]> {
  const lora = { rank: 3, alpha: 6, targets: ["all-linear"], seed: 1 };
  const model = await Model.load(gpu, checkpoint, { lora, loadIn });
  const trainer = await Trainer.make({
    ...{ gpu, parameters: model.trainable(), objective: crossEntropyObjective(model), seed: 0, clip: 1 },
    optimizer: bind(optimizer, { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0 }),
    decays: () => false,
  });
  const found: number[] = [];
  for (let step = 1; step <= steps; step++)
    found.push((await (await trainer.step(step, 2e-2, [BATCH])).result).metrics.loss!);
  trainer.free();
  model.free();
  return found;
}

test("losses fall as on a base of the same values", async () => {
  const { checkpoint, matrices } = await drawn(llama);
  const wanted = await losses(await dequantized(checkpoint, matrices, "4bit"), 12);
  const found = await losses(checkpoint, 12, "4bit");
  expect(wanted.at(-1)!).toBeLessThan(0.8 * wanted[0]!);
  for (const [step, loss] of found.entries()) expect(Math.abs(loss - wanted[step]!)).toBeLessThan(1e-3 * wanted[step]!);
});

test("weights take the bits that they are asked to, and norms, embeddings and heads stay", async () => {
  const { checkpoint, matrices } = await drawn(llama);
  for (const [loadIn, most] of [
    ["4bit", 4.8],
    ["8bit", 8.6],
  ] as const) {
    const model = await Model.load(gpu, checkpoint, { loadIn, freeze: () => true });
    for (const [name, parameter] of model.parameters) {
      expect(parameter.codes !== undefined).toBe(matrices.has(name));
      if (!parameter.codes) continue;
      expect((8 * parameter.bytes) / parameter.size).toBeLessThan(most);
      const entry = checkpoint.tensors.get(name)!;
      const { packing, rows, table } = parameter.codes;
      const words = await gpu.readWords(rows, parameter.bytes / 4);
      const held = unpackRows(packing, words, table ? await gpu.readWords(table, 16) : new Uint32Array());
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      const values = decodeFloats(bytes, entry.dtype);
      expect(matrixValues(held)).toEqual(matrixValues(roundedRows(values, codesForm([entry], loadIn)!)));
    }
    model.free();
  }
});

test("rounding is to the nearest: no further from a value than half a step of its scale", () => {
  const values = normals(3, 5 * 100, 0.4);
  const nf4 = roundedRows(values, codesForm([entryOf("w", "F32", [5, 100], values)], "4bit")!);
  const levels = nf4.levels!;
  for (const [i, value] of matrixValues(nf4).entries()) {
    const scale = nf4.scales[2 * Math.floor(i / 100) + Math.floor((i % 100) / 64)]!;
    const nearest = levels.reduce((least, level) => Math.min(least, Math.abs(level * scale - values[i]!)), 9);
    expect(Math.abs(value - values[i]!)).toBeLessThan(nearest + 1e-6);
  }
  const int8 = roundedRows(values, codesForm([entryOf("w", "F32", [5, 100], values)], "8bit")!);
  for (const [i, value] of matrixValues(int8).entries())
    expect(Math.abs(value - values[i]!)).toBeLessThan(0.5001 * int8.scales[Math.floor(i / 100)]!);
  const none = roundedRows(new Float32Array(64), codesForm([entryOf("w", "F32", [1, 64], values)], "4bit")!);
  expect(matrixValues(none)).toEqual(new Float32Array(64));
});

test("what reads the weights themselves is refused, and so is a checkpoint without codes", async () => {
  const { checkpoint } = await drawn(llama);
  const stored = Model.load(gpu, checkpoint, { loadIn: "stored", freeze: () => true });
  await expect(stored).rejects.toThrow("tiny holds no weights of layers as codes");
  const model = await Model.load(gpu, checkpoint, { loadIn: "4bit", freeze: () => true });
  const weight = model.parameters.get("model.layers.0.mlp.up_proj.weight")!;
  expect(() => weight.buffer).toThrow("model.layers.0.mlp.up_proj.weight is held as codes");
  const rec = new Recorder(profileOf(gpu));
  const x = rec.parameter(weight);
  const y = rec.scratch(x.shape, "y");
  expect(() => rec.step({ kernel: "recorder/add-into", bind: { x, y } })).toThrow("reads plain weights");
  model.free();
});
