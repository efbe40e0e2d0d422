/**
 * A scale of the step per row as an update rule, which the frame does not know: it composes with SAM and an average.
 * Scales per tensor and per element differ in the shape of the constant alone.
 */
import { expect, test } from "bun:test";
import type { Example } from "../../../src/data/examples.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import { Programs } from "../../../src/run/programs.ts";
import { stackedBatches } from "../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { trainModel } from "../../../src/run/training/train-model.ts";
import type { UpdateRule } from "../../../src/run/training/update-rule.ts";
import { WeightAverage } from "../../../src/run/training/weight-average.ts";
import { mul, sub } from "../../../src/tensor/ops/elementwise.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { method as sam } from "../../../src/unlearn/methods/smoothings/sam.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const CONFIG = { model_type: "mlp", input_size: 4, hidden_sizes: [8], num_labels: 3 };
const DECAY = 0.6;

/** theta <- before + s (theta - before), s (rows) by tensor; biases and norms take a scale per value. */
function rowScale(parameters: readonly Parameter[], scales: (parameter: Parameter) => Float32Array): UpdateRule {
  const programs = new Programs(gpu);
  const before = parameters.map(({ name, size }) => gpu.buffer(Math.max(16, 4 * size), `${name} before the step`));
  return {
    name: "row scale",
    before() {
      for (const [i, { buffer, size }] of parameters.entries()) gpu.copy(buffer, 0, before[i]!.buffer, 0, 4 * size);
    },
    async after() {
      const { program } = await programs.get("scale", (rec) => {
        for (const [i, parameter] of parameters.entries()) {
          const { name, shape, size } = parameter;
          const weight = rec.state(name, shape, parameter.buffer);
          const origin = rec.state(`${name} before`, shape, before[i]!.buffer);
          const rows = shape.map((n, axis) => (axis === 0 ? n : 1));
          const step = mul(rec, sub(rec, weight, origin), rec.constant(scales(parameter), rows, `scales of ${name}`));
          const bind = { x: step, y: origin };
          rec.step({ kernel: "recorder/add-into", bind, params: { n: size, accumulate: 1 }, invocations: size });
        }
      });
      program.run();
      for (const [i, { buffer, size }] of parameters.entries()) gpu.copy(before[i]!.buffer, 0, buffer, 0, 4 * size);
    },
    bytes: before.reduce((sum, { bytes }) => sum + bytes, 0),
    free() {
      programs.free();
      for (const copy of before) copy.free();
    },
  };
}

/** SAM of the whole gradient, not of that of a forget loss. */
function smoothing(parameters: readonly Parameter[]): UpdateRule {
  const { values } = bindDefaults(sam, { rho: 0.3 });
  const { parts: _, ...rule } = sam.rule({ gpu, parameters, values, seed: 0, steps: 5 });
  return rule;
}

const examples = Array.from({ length: 24 }, (_, i): Example => {
  const x = normals(i, 4);
  x[i % 3]! += 2;
  return { form: "example", x, shape: [4], label: i % 3, extra: {}, group: 0, place: `points:${i}` } as Example;
});
const source = () => stackedBatches(examples, ["points"], { batchSize: 4, seed: 3 });

/** Weights by name after every step, first those of the start, and after the end. */
async function trained(steps: number, rules: (parameters: readonly Parameter[]) => UpdateRule[]) {
  const model = await Model.fresh(gpu, CONFIG, "net", { seed: 1 });
  const weights = async () => {
    const found = new Map<string, Float32Array>();
    for (const { name, buffer, size } of model.trainable()) found.set(name, await gpu.readFloats(buffer, size));
    return found;
  };
  const path = [await weights()];
  const after = async () => {
    path.push(await weights());
    return false;
  };
  await trainModel({
    model,
    source: source(),
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(adamw),
    rate: () => 0.02,
    steps,
    seed: 5,
    clip: 1,
    signal,
    after,
    updates: rules(model.trainable()),
  });
  const end = await weights();
  const shapes = new Map(model.trainable().map(({ name, shape }) => [name, shape]));
  model.free();
  return { path, end, shapes };
}

/** Rows 0, 3, 6, ... stay, 1, 4, ... move by half, the others as they would. */
const scaleOfRow = (row: number): number => (row % 3) / 2;
const scales = ({ shape }: Pick<Parameter, "shape">) =>
  Float32Array.from({ length: shape[0]! }, (_, i) => scaleOfRow(i));

test("a step is scaled row by row after the optimizer, by which AdamW cannot undo it", async () => {
  const plain = await trained(1, () => []);
  const scaled = await trained(1, (parameters) => [rowScale(parameters, scales)]);
  for (const [name, from] of scaled.path[0]!) {
    const width = from.length / scaled.shapes.get(name)![0]!;
    const [free, held] = [plain.end.get(name)!, scaled.end.get(name)!];
    for (const [i, w] of held.entries()) {
      const scale = scaleOfRow(Math.floor(i / width));
      if (scale === 0) expect(w).toBe(from[i]!);
      else expect(w - from[i]!).toBeCloseTo(scale * (free[i]! - from[i]!), 6);
    }
  }
});

test("with SAM and an average: SAM makes the gradient, the scale bounds the step, the average takes what is left", async () => {
  const all = (parameters: readonly Parameter[]) => [
    smoothing(parameters),
    rowScale(parameters, scales),
    new WeightAverage(gpu, parameters, { decay: DECAY }),
  ];
  const whole = await trained(5, all);
  const withoutAverage = await trained(5, (parameters) => all(parameters).slice(0, 2));
  const withoutSam = await trained(5, (parameters) => [rowScale(parameters, scales)]);

  // The average changes no step; SAM changes steps.
  expect(whole.path).toEqual(withoutAverage.path);
  expect(whole.path[2]).not.toEqual(withoutSam.path[2]!);
  for (const [name, start] of whole.path[0]!) {
    const width = start.length / whole.shapes.get(name)![0]!;
    const values = (step: number) => whole.path[step]!.get(name)!;
    for (const [i, end] of whole.end.get(name)!.entries()) {
      const scale = scaleOfRow(Math.floor(i / width));
      // Rows of scale 0 stay, through SAM's detour and in the average, to the bit.
      if (scale === 0) expect(values(5)[i]).toBe(start[i]!);
      let mean = values(1)[i]!;
      for (let step = 2; step <= 5; step++) mean = DECAY * mean + (1 - DECAY) * values(step)[i]!;
      expect(end).toBeCloseTo(mean, 6);
    }
  }
});
