/** Convolutional classifiers against float64: logits, gradients, running statistics, and bounds of a box of inputs. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { inputBox, lowerMargins } from "../../src/run/certifying/margins.ts";
import { Programs } from "../../src/run/programs.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomWords } from "../support/random.ts";
import {
  averagePool,
  conv,
  crossEntropy,
  head,
  type Images,
  maxPool,
  norm,
  plus,
  relu,
  statistics,
  type Weights,
} from "./reference-images.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const LABELS = [2, 0, 1];
const STEP = 1e-5;

const LAYERS = [
  { type: "conv", channels: 4, kernel_size: 3 },
  { type: "max_pool", kernel_size: 3, stride: 2, padding: 1 },
  { type: "conv", channels: 8, kernel_size: 3, stride: 2, groups: 4 },
  { type: "average_pool", kernel_size: 2, stride: 1 },
  { type: "conv", channels: 5, kernel_size: 1 },
];
const CONVNET = { model_type: "convnet", num_channels: 2, image_size: 9, num_labels: 3, layers: LAYERS };
const RESNET = {
  model_type: "resnet",
  num_channels: 2,
  image_size: 17,
  num_labels: 3,
  embedding_size: 4,
  depths: [1, 2],
};

/** The layers of `CONVNET`; `heard` is told what norms read. */
function convnet(json: Json, weights: Weights, x: Images, batch: boolean, heard: (module: string, x: Images) => void) {
  const layer = (i: number, out: number, kernel: number, stride: number, groups: number) => {
    const own = conv(images, weights, `layers.${i}`, { out, kernel, stride, padding: Math.floor(kernel / 2), groups });
    heard(`norms.${i}`, own);
    return relu(json.hidden_norm === undefined ? own : norm(own, weights, `norms.${i}`, batch));
  };
  let images = x;
  images = layer(0, 4, 3, 1, 1);
  images = maxPool(images, { kernel: 3, stride: 2, padding: 1 });
  images = layer(2, 8, 3, 2, 4);
  images = averagePool(images, { kernel: 2, stride: 1, padding: 0 });
  images = layer(4, 5, 1, 1, 1);
  return head(images, weights, "classifier", json.head_pooling === "flatten");
}

function resnet(json: Json, weights: Weights, x: Images, batch: boolean, heard: (module: string, x: Images) => void) {
  const layer = (module: string, from: Images, out: number, kernel: number, stride: number) => {
    const window = { kernel, stride, padding: Math.floor(kernel / 2), groups: 1, out };
    const own = conv(from, weights, `${module}.convolution`, window);
    heard(`${module}.normalization`, own);
    return norm(own, weights, `${module}.normalization`, batch);
  };
  let images = maxPool(relu(layer("resnet.embedder.embedder", x, 4, 7, 2)), { kernel: 3, stride: 2, padding: 1 });
  const bottleneck = json.layer_type !== "basic";
  for (const [stage, out] of (json.hidden_sizes as number[]).entries())
    for (let i = 0; i < RESNET.depths[stage]!; i++) {
      const at = `resnet.encoder.stages.${stage}.layers.${i}`;
      const stride = i === 0 && stage > 0 ? 2 : 1;
      const shortcut = images.shape[1] !== out || stride !== 1;
      const beside = shortcut ? layer(`${at}.shortcut`, images, out, 1, stride) : images;
      const first = bottleneck
        ? layer(`${at}.layer.0`, images, out / 4, 1, 1)
        : layer(`${at}.layer.0`, images, out, 3, stride);
      let own = layer(`${at}.layer.1`, relu(first), bottleneck ? out / 4 : out, 3, bottleneck ? stride : 1);
      if (bottleneck) own = layer(`${at}.layer.2`, relu(own), out, 1, 1);
      images = relu(plus(own, beside));
    }
  return head(images, weights, "classifier.1");
}

const CASES = {
  convnet: [CONVNET, convnet],
  "convnet, normed and flat": [{ ...CONVNET, hidden_norm: "batch", head_pooling: "flatten" }, convnet],
  "resnet, bottlenecks": [{ ...RESNET, hidden_sizes: [8, 12] }, resnet],
  "resnet, basic": [{ ...RESNET, hidden_sizes: [4, 6], layer_type: "basic" }, resnet],
} as const;

/** A model whose vectors are all drawn. */
async function made(json: Json): Promise<{ model: Model; weights: Map<string, Float64Array> }> {
  const model = await Model.fresh(gpu, json, "net", { seed: 5 });
  const weights = new Map<string, Float64Array>();
  for (const [i, [name, parameter]] of [...model.parameters].entries()) {
    if (parameter.shape.length === 1) {
      const drawn = normals(i, parameter.size, 0.3);
      const positive = name.endsWith("running_var");
      parameter.write(
        positive ? drawn.map((v) => 0.5 + Math.abs(v)) : name.endsWith("weight") ? drawn.map((v) => 1 + v) : drawn,
      );
    }
    weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, parameter.size)));
  }
  return { model, weights };
}

function rowsOf({ num_channels: c, image_size: size }: { readonly num_channels: number; readonly image_size: number }) {
  const examples = LABELS.map((label, i) => ({ x: normals(60 + i, c * size * size), shape: [c, size, size], label }));
  const data = Float64Array.from(examples.flatMap(({ x }) => [...x]));
  return { batch: stackExamples(examples), images: { shape: [LABELS.length, c, size, size], data } as Images };
}

describe.each(Object.entries(CASES))("%s", (_, [json, reference]) => {
  test("logits and gradients are those of float64", async () => {
    const { model, weights } = await made(json);
    const { batch, images } = rowsOf(json);
    const logits = () => reference(json, weights, images, false, () => {});
    const objective = crossEntropyObjective(model);
    const rec = new Recorder(profileOf(gpu));
    const { backward, metrics } = objective.record(rec, batch, "");
    rec.output("loss", metrics.loss!);
    rec.backward(backward);
    const program = await Program.compile(gpu, rec);
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0 });
    const loss = () => crossEntropy(logits(), LABELS);
    expect((await program.read("loss"))[0]!).toBeCloseTo(loss(), 4);
    const word = randomWords(7);
    for (const parameter of model.trainable()) {
      const values = weights.get(parameter.name)!;
      const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
      const most = Math.max(...gradient.map(Math.abs), 1e-3);
      for (let n = 0; n < 2; n++) {
        const i = word() % parameter.size;
        const kept = values[i]!;
        const at = (by: number) => {
          values[i] = kept + by;
          const found = loss();
          values[i] = kept;
          return found;
        };
        const slope = (at(STEP) - at(-STEP)) / (2 * STEP);
        expect([parameter.name, Math.abs(slope - gradient[i]!) / most < 1e-3]).toEqual([parameter.name, true]);
      }
    }
    const forward = new Recorder(profileOf(gpu), { training: false });
    const recorded = model.record(forward, recordInputs(forward, batch));
    forward.output("logits", recorded.head(recorded.hidden));
    const plain = await Program.compile(gpu, forward);
    fillInputs(plain, batch);
    plain.run();
    const found = await plain.read("logits");
    for (const [i, wanted] of logits().entries())
      expect(Math.abs(found[i]! - wanted)).toBeLessThan(2e-5 * (1 + Math.abs(wanted)));
    for (const one of [program, plain, model]) one.free();
  });

  test("in training norms go by the batch, over all places, and running statistics follow", async () => {
    const { model, weights } = await made(json);
    const { batch, images } = rowsOf(json);
    const seen = new Map<string, Images>();
    const wanted = reference(json, weights, images, true, (module, x) => seen.set(module, x));
    const rec = new Recorder(profileOf(gpu));
    const recorded = model.record(rec, recordInputs(rec, batch), { statistics: "batch" });
    rec.output("logits", recorded.head(recorded.hidden));
    const program = await Program.compile(gpu, rec);
    fillInputs(program, batch);
    program.run({ accumulate: 0 });
    const found = await program.read("logits");
    for (const [i, logit] of wanted.entries())
      expect(Math.abs(found[i]! - logit)).toBeLessThan(1e-4 * (1 + Math.abs(logit)));
    for (const [module, x] of seen) {
      if (!weights.has(`${module}.running_mean`)) continue;
      const { mean, variance } = statistics(x);
      const n = x.data.length / mean.length;
      for (const [name, own] of [
        ["running_mean", mean],
        ["running_var", variance.map((v) => (v * n) / (n - 1))],
      ] as const) {
        const { buffer, size } = model.parameters.get(`${module}.${name}`)!;
        const now = await gpu.readFloats(buffer, size);
        const before = weights.get(`${module}.${name}`)!;
        for (const [i, v] of own.entries()) expect(now[i]!).toBeCloseTo(0.9 * before[i]! + 0.1 * v, 4);
      }
    }
    for (const one of [program, model]) one.free();
  });
});

test.each([CONVNET, { ...CONVNET, hidden_norm: "batch", head_pooling: "flatten" }])(
  "bounds of a convnet hold for inputs of the box, and are its outputs at radius 0",
  async (json) => {
    const { model } = await made(json);
    const { batch } = rowsOf(json);
    const programs = new Programs(gpu);
    const marginsAt = async (x: Float32Array, epsilon: number) => {
      const { program } = await programs.get(`${epsilon}`, (rec) => {
        const inputs = recordInputs(rec, batch);
        if (!("x" in inputs)) throw new Error("numbers were expected");
        const recorded = model.record(rec, inputs);
        const box = recorded.bounded(inputBox(rec, inputs.x, { epsilon, below: -epsilon, range: [-9, 9] }), () => {});
        rec.output("margins", lowerMargins(rec, model, recorded, box, rec.input("targets", [batch.rows], "i32")));
        rec.output("logits", recorded.head(recorded.hidden));
      });
      program.write("x", x);
      program.write("targets", batch.labels);
      program.run();
      return { margins: await program.read("margins"), logits: await program.read("logits") };
    };
    const gapsOf = (logits: Float32Array) =>
      logits.map((z, i) => logits[3 * Math.floor(i / 3) + LABELS[Math.floor(i / 3)]!]! - z);
    const still = await marginsAt(batch.x, 0);
    for (const [i, gap] of gapsOf(still.logits).entries()) expect(still.margins[i]!).toBeCloseTo(gap, 5);
    const { margins } = await marginsAt(batch.x, 0.05);
    expect(margins.some((margin, i) => i % 3 !== LABELS[Math.floor(i / 3)] && margin > -20)).toBe(true);
    for (let draw = 0; draw < 4; draw++) {
      const to = normals(900 + draw, batch.x.length);
      const { logits } = await marginsAt(
        batch.x.map((v, i) => v + 0.05 * Math.sign(to[i]!)),
        0,
      );
      for (const [i, gap] of gapsOf(logits).entries()) expect(gap).toBeGreaterThan(margins[i]! - 1e-4);
    }
    programs.free();
    model.free();
  },
);

test("configs that fit nothing are refused", async () => {
  const refused = (json: Json, why: string) => expect(describeConfig(json, "m")).rejects.toThrow(why);
  await refused(
    { ...CONVNET, layers: [{ type: "conv", channels: 3, kernel_size: 3, groups: 2 }] },
    "2 groups do not divide 2 channels into 3",
  );
  await refused(
    { ...CONVNET, layers: [{ type: "pool", kernel_size: 3 }] },
    'layer 0: type must be "conv" or "max_pool"',
  );
  await refused(
    { ...CONVNET, layers: [{ type: "max_pool", kernel_size: 10 }] },
    "layer 0: no window of 10 fits into images of 9",
  );
  await refused({ ...CONVNET, layers: "conv" }, "layers must be a list of objects");
  await refused({ ...RESNET, hidden_sizes: [8] }, "hidden_sizes and depths say 1 and 2 stages");
  await refused({ ...RESNET, hidden_sizes: [8, 10] }, "a bottleneck has a fourth of 10 channels");
});
