/**
 * Radial features, inputs of several parts and clusters of `mlp`: values in plain arithmetic, gradients by differences.
 */
import { describe, expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { method } from "../../src/model/architectures/mlp.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { mul, sumTo } from "../../src/tensor/ops/elementwise.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const BASE = { model_type: "mlp", input_size: 2, hidden_sizes: [5], num_labels: 3, problem_type: "regression" };
const RADIAL = { centres: 6, nearest: 3, features: 4, highest: 4, sine_low: 1, sine_high: 2, grids: [3, 4] };

const rowsOf = (values: Float32Array, width: number) =>
  Array.from({ length: values.length / width }, (_, i) => ({
    ...{ x: values.slice(i * width, (i + 1) * width), shape: [width], label: 0, group: 0, place: `${i}` },
    y: new Float32Array(3),
  }));

/** A program of a model on rows: its outputs, what weighs them to a sum, and the gradients of that. */
async function programOf(model: Model, x: Float32Array, width: number, backward: boolean) {
  const batch = stackExamples(rowsOf(x, width));
  const rec = new Recorder(profileOf(gpu));
  const { hidden, head } = model.record(rec, recordInputs(rec, batch));
  const logits = head(hidden);
  const weights = rec.constant(normals(9, batch.rows * 3), [batch.rows, 3], "weights");
  const sum = sumTo(rec, mul(rec, logits, weights), [1, 1]);
  rec.output("sum", sum);
  rec.output("logits", logits);
  if (backward) rec.backward([[logits, weights]]);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  return program;
}

async function fresh(json: Json): Promise<Model> {
  const model = await Model.fresh(gpu, json, "fresh", { seed: 2 });
  for (const [i, { parameter }] of model.stored.entries()) parameter.write(normals(20 + i, parameter.size, 0.4));
  return model;
}

describe.each([
  ["kernels and grids", { ...BASE, radial: RADIAL }, 2],
  ["grids alone", { ...BASE, radial: { centres: 0, grids: [3] } }, 2],
  ["clusters", { ...BASE, cluster_route: { clusters: 3, size: 4 }, hidden_act: "gelu" }, 2],
  ["three parts", { ...BASE, input_size: 6, input_parts: 3, joint_sizes: [4], hidden_act: "gelu" }, 6],
] as const)("%s", (_, json, width) => {
  test("each gradient is the slope along it", async () => {
    const model = await fresh(json);
    const x = normals(1, 7 * width, 0.5);
    const [trained, program] = [await programOf(model, x, width, true), await programOf(model, x, width, false)];
    trained.run({ accumulate: 0 });
    const sumAt = async () => {
      program.run();
      return (await program.read("sum"))[0]!;
    };
    for (const parameter of model.parameters.values()) {
      if (!parameter.trainable) continue;
      const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
      const values = await gpu.readFloats(parameter.buffer, parameter.size);
      const length = Math.hypot(...gradient);
      expect(length).toBeGreaterThan(0);
      const step = 0.002;
      const moved = async (by: number) => {
        parameter.write(values.map((value, i) => value + (by * gradient[i]!) / length));
        return sumAt();
      };
      const slope = ((await moved(step)) - (await moved(-step))) / (2 * step);
      parameter.write(values);
      const error = Math.abs(slope - length) / Math.max(length, 0.1);
      if (!(error < 0.02)) throw new Error(`${parameter.name}: ${length} by the gradient, ${slope} by differences`);
    }
    for (const one of [trained, program, model]) one.free();
  });

  test("config.json says what it is made of", () => {
    const c = method.config(json, "config.json");
    expect(method.config({ ...method.implied!(c), model_type: "mlp" }, "config.json")).toEqual(c);
  });
});

test("kernels are the inverse quadratics of the nearest centres, in waves; far from all they say nothing", async () => {
  const radial = { centres: 4, nearest: 2, features: 3, lowest: 0.5, highest: 8, spread: 2 };
  const model = await fresh({ ...BASE, radial });
  const x = Float32Array.of(0.3, -0.2, -0.5, 0.6, 1e5, -1e5);
  const program = await programOf(model, x, 2, false);
  program.run();
  const found = await program.read("logits");
  const read = async (name: string) => {
    const { buffer, size } = model.parameters.get(name)!;
    return gpu.readFloats(buffer, size);
  };
  const [centres, scales, shears, values] = await Promise.all(
    ["centres", "scales", "shears", "values"].map((name) => read(`radial.${name}`)),
  );
  const [w, b, out, outB] = await Promise.all(
    ["layers.0.weight", "layers.0.bias", "classifier.weight", "classifier.bias"].map(read),
  );
  const frequencies = [0.5, 2, 8];
  const features = (px: number, py: number): number[] => {
    const phi = [0, 1, 2, 3].map((k) => {
      const away = [px - centres![2 * k]!, py - centres![2 * k + 1]!];
      const moved = [0, 1].map(
        (i) =>
          2 * Math.exp(scales![2 * k + i]!) * away[i]! +
          shears![4 * k + 2 * i]! * away[0]! +
          shears![4 * k + 2 * i + 1]! * away[1]!,
      );
      return 1 / (1 + moved[0]! ** 2 + moved[1]! ** 2);
    });
    const least = [...phi].sort((p, q) => q - p)[1]!;
    return frequencies.map((m, j) =>
      phi.reduce((sum, p, k) => sum + (p >= least ? Math.sin(m * p) * values![3 * k + j]! : 0), 0),
    );
  };
  for (let row = 0; row < 3; row++) {
    const f = row < 2 ? features(x[2 * row]!, x[2 * row + 1]!) : [0, 0, 0];
    const hidden = [0, 1, 2, 3, 4].map((i) =>
      Math.max(
        0,
        f.reduce((sum, value, j) => sum + value * w![3 * i + j]!, b![i]!),
      ),
    );
    for (let c = 0; c < 3; c++) {
      const wanted = hidden.reduce((sum, value, i) => sum + value * out![5 * c + i]!, outB![c]!);
      expect(found[3 * row + c]).toBeCloseTo(wanted, 4);
    }
  }
  program.free();
  model.free();
});

test("a grid is linear between its nodes", async () => {
  const model = await fresh({ ...BASE, hidden_sizes: [1], radial: { centres: 0, grids: [3], grid_features: 1 } });
  const write = (name: string, values: number[]) => model.parameters.get(name)!.write(Float32Array.from(values));
  write("grids.0.weight", [0, 1, 2, 10, 11, 12, 20, 21, 22]);
  write("grid_layers.0.weight", [1]);
  write("layers.0.bias", [0]);
  write("classifier.weight", [1, 0, 0]);
  write("classifier.bias", [0, 0, 0]);
  const program = await programOf(model, Float32Array.of(-1, -1, 0, 1, 0.5, 0, 0.25, -0.5), 2, false);
  program.run();
  const found = await program.read("logits");
  expect([0, 3, 6, 9].map((i) => found[i])).toEqual([0, 12, 16, 13].map((value) => expect.closeTo(value, 4)));
  program.free();
  model.free();
});

test("parts of the input share their layers, and the joint ones read the states of all", async () => {
  const json = { ...BASE, input_size: 4, input_parts: 2, joint_sizes: [3] };
  const model = await fresh(json);
  const names = [...model.parameters].map(([name, { shape }]) => `${name} ${shape.join("x")}`);
  expect(names).toEqual(
    ["layers.0.weight 5x2", "layers.0.bias 5", "joint.0.weight 3x10", "joint.0.bias 3"].concat([
      "joint.classifier.weight 3x3",
      "joint.classifier.bias 3",
    ]),
  );
  model.free();
});

test.each([
  [{ radial: { centres: 0 } }, "has neither centres nor grids"],
  [{ radial: { centres: 2, grids: [1] } }, "a grid of 1 nodes along each of 2 axes"],
  [{ radial: { centres: 2, lowest: 8, highest: 4 } }, "a highest frequency below the lowest"],
  [{ radial: { centres: 2 }, hidden_sizes: [] }, "hidden_sizes has none"],
  [{ input_parts: 3 }, "an input of 2 numbers (input_size) has no 3 equal parts"],
  [{ joint_sizes: [3] }, "joint_sizes are layers over several parts"],
  [{ input_parts: 2, hidden_norm: "batch" }, "hidden_norm does not go with input_parts"],
])("%j is refused", (more, message) => {
  expect(() => method.config({ ...BASE, ...more }, "config.json")).toThrow(message);
});
