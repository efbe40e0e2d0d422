/**
 * Passes that leave layers out or run them again: against models that have just these layers, over a cache and without
 * one, and bit for bit the plain pass where every layer runs once.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { collate, stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { CacheMemory } from "../../src/model/cache-memory.ts";
import { type Depth, depthOf, keptLayers } from "../../src/model/depth.ts";
import { Model } from "../../src/model/model.ts";
import { layerOf } from "../../src/model/names.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Decoder } from "../../src/run/generating/decoder.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomWords } from "../support/random.ts";
import { TINY_DECODERS, TINY_DELTA, TINY_EXAMPLES, TINY_NEOX, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const models: Model[] = [];
afterAll(() => {
  for (const model of models) model.free();
});

const words = randomWords(11);
const IDS = Array.from({ length: 9 }, () => 1 + (words() % 48));
const BATCH = collate([[{ ids: Int32Array.from(IDS), labels: Int32Array.from(IDS), group: 0, place: "0" }]], {
  buckets: "none",
});

const LAYER_KEY: Readonly<Record<string, string>> = { gpt2: "n_layer" };

async function fresh(json: Json, layers: number): Promise<Model> {
  const key = LAYER_KEY[String(json.model_type)] ?? "num_hidden_layers";
  const { layer_types: _, ...plain } = json;
  const model = await Model.fresh(gpu, { ...plain, [key]: layers }, "m", { seed: 4 });
  models.push(model);
  return model;
}

/** A model of the layers of another one, named by `origins`. */
async function restacked(json: Json, from: Model, origins: readonly number[]): Promise<Model> {
  const model = await fresh(json, origins.length);
  for (const [name, parameter] of model.parameters) {
    const layer = layerOf(name);
    const old = layer ? `${layer.prefix}.${origins[layer.index]}.${layer.rest}` : name;
    const { buffer, size } = from.parameters.get(old)!;
    parameter.write(await gpu.readFloats(buffer, size));
  }
  return model;
}

/** Logits (T, V), or of classes. */
async function logits(model: Model, batch: Parameters<typeof fillInputs>[1], depth?: Depth): Promise<Float32Array> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { hidden, head } = model.record(rec, recordInputs(rec, batch), { depth });
  rec.output("logits", head(hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const read = await program.read("logits");
  program.free();
  return Float32Array.from(read);
}

const difference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

const STACKS = {
  llama: TINY_TEXT.llama,
  gpt2: TINY_TEXT.gpt2,
  gpt_neox: TINY_NEOX.gpt_neox,
  deepseek: Object.values(TINY_DECODERS).find(({ model_type: type }) => type === "deepseek_v2"),
};

describe.each(Object.entries(STACKS))("%s", (_, found) => {
  const json = found!;

  test("with all layers gives the bits of the plain pass, and without some those of a model without them", async () => {
    const model = await fresh(json, 3);
    const plain = await logits(model, BATCH);
    expect(await logits(model, BATCH, depthOf([1, 1, 1]))).toEqual(plain);
    expect(await logits(model, BATCH, keptLayers([0, 1, 2], 3))).toEqual(plain);
    const short = await restacked(json, model, [0, 2]);
    const cut = await logits(model, BATCH, keptLayers([0, 2], 3));
    expect(cut).toEqual(await logits(short, BATCH));
    expect(difference(cut, plain)).toBeGreaterThan(1e-3);
  });

  test("runs a layer twice, with a cache for each turn", async () => {
    const model = await fresh(json, 3);
    const depth = depthOf([1, 2, 0]);
    const long = await restacked(json, model, [0, 1, 1]);
    const once = await logits(model, BATCH, depth);
    expect(once).toEqual(await logits(long, BATCH));
    const decoder = new Decoder(model, "m", { prompt: depth, next: depth });
    const names = ["0"];
    await decoder.read([IDS.slice(0, 5)], { most: 16, names });
    for (let n = 6; n <= IDS.length; n++) {
      const next = await decoder.next([IDS.slice(0, n)], new Set([0]));
      const { outputs } = model.sizes;
      expect(difference(next, once.subarray((n - 1) * outputs, n * outputs))).toBeLessThan(2e-4);
    }
    decoder.free();
  });
});

test("reads a prompt with all layers, writes with the kept ones, and caches these for the others", async () => {
  const model = await fresh(TINY_TEXT.llama!, 4);
  const memory = new CacheMemory(1, 8);
  const { outputs } = model.sizes;
  const pass = async (ids: readonly number[], first: number, depth?: Depth) => {
    const rec = new Recorder(profileOf(gpu), { training: false });
    const n = ids.length;
    const inputs = { batch: 1, length: n, ids: rec.input("ids", [n], "i32"), positions: rec.input("at", [n], "i32") };
    const { hidden, head } = model.record(rec, { ...inputs, cache: model.cache(rec, memory) }, { depth });
    rec.output("logits", head(hidden));
    const program = await Program.compile(gpu, rec);
    program.write("ids", Int32Array.from(ids));
    program.write(
      "at",
      Int32Array.from(ids, (_, i) => first + i),
    );
    program.run();
    const read = Float32Array.from(await program.read("logits"));
    program.free();
    return read.subarray((n - 1) * outputs);
  };
  await pass(IDS.slice(0, 3), 0);
  const kept = keptLayers([0, 3], 4);
  const first = await pass(IDS.slice(3, 4), 3, kept);
  const second = await pass(IDS.slice(4, 5), 4, kept);
  const width = 8; // one head of keys
  const rows = async (layer: number) => {
    const { keys } = memory.layer(gpu, layer, 8 * width);
    return Array.from(await gpu.readFloats(keys, 8 * width));
  };
  const [zero, one, two] = [await rows(0), await rows(1), await rows(2)];
  expect(one.slice(3 * width, 5 * width)).toEqual(zero.slice(3 * width, 5 * width));
  expect(two.slice(3 * width, 5 * width)).toEqual(zero.slice(3 * width, 5 * width));
  expect(one.slice(0, 3 * width)).not.toEqual(zero.slice(0, 3 * width));
  memory.free();

  const decoder = new Decoder(model, "m", { next: kept });
  await decoder.read([IDS.slice(0, 3)], { most: 8, names: ["0"] });
  for (const [i, wanted] of [first, second].entries())
    expect(difference(await decoder.next([IDS.slice(0, 4 + i)], new Set([0])), wanted)).toBeLessThan(1e-4);
  decoder.free();
});

test("leaves a layer out of a classifier of images, and goes through layers that keep a state", async () => {
  const vit = Object.values(TINY_EXAMPLES).find(({ model_type: type }) => type === "vit");
  const image = await fresh(vit!, 2);
  const x = Float32Array.from({ length: image.sizes.example!.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
  const examples = stackExamples([{ x, shape: image.sizes.example!, label: 0 }]);
  const short = await restacked(vit!, image, [1]);
  expect(await logits(image, examples, depthOf([0, 1]))).toEqual(await logits(short, examples));

  const delta = Object.values(TINY_DELTA)[0]!;
  const model = await fresh(delta, 4);
  expect(await logits(model, BATCH, depthOf([1, 1, 1, 1]))).toEqual(await logits(model, BATCH));
});

test("refuses a model without a stack of layers, and counts that are none", async () => {
  const model = await fresh({ model_type: "mlp", input_size: 2, hidden_sizes: [3], num_labels: 2 }, 1);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const inputs = { batch: 1, x: rec.input("x", [1, 2]) };
  expect(() => model.record(rec, inputs, { depth: depthOf([0]) })).toThrow("no stack of layers");
  expect(() => depthOf([1, -1])).toThrow("cannot run -1 times");
});
