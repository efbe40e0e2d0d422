/** Classifiers on images smaller than their own: as a model of that size with the same weights. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { gridWeights } from "../../src/model/blocks/vision.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const VIT: Json = {
  ...{ model_type: "vit", image_size: 12, patch_size: 4, num_channels: 2, num_labels: 3, initializer_range: 0.3 },
  ...{ hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 },
};
const CONVNET: Json = {
  ...{ model_type: "convnet", image_size: 9, num_channels: 2, num_labels: 3 },
  layers: [
    { type: "conv", channels: 4, kernel_size: 3 },
    { type: "max_pool", kernel_size: 2 },
    { type: "conv", channels: 5, kernel_size: 3 },
  ],
};
const POSITIONS = "vit.embeddings.position_embeddings";

const batchOf = (side: number) =>
  stackExamples(
    [2, 0, 1].map((label, i) => ({
      x: Float32Array.from(normals(2 * side ** 2, 5 + i)),
      shape: [2, side, side],
      label,
    })),
  );

/** Logits, and gradients by name. */
async function found(model: Model, side: number) {
  const batch = batchOf(side);
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const recorded = model.record(rec, recordInputs(rec, batch));
  rec.output("logits", recorded.head(recorded.hidden));
  const forward = await Program.compile(gpu, rec);
  fillInputs(forward, batch);
  forward.run();
  const logits = await forward.read("logits");
  const training = new Recorder(profileOf(gpu), { training: true });
  const { backward } = objective.record(training, batch, "");
  training.backward(backward);
  const program = await Program.compile(gpu, training);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  program.run({ accumulate: 0, seed: 0 });
  const gradients = new Map<string, Float32Array>();
  for (const { name, gradient, size } of model.trainable()) gradients.set(name, await gpu.readFloats(gradient, size));
  forward.free();
  program.free();
  return { logits, gradients };
}

/** R x for R (rows, x / width), x (.., width); of the transposed R where asked for. */
function times(weights: Float32Array, x: Float32Array, width: number, transposed = false): number[] {
  const inner = transposed ? weights.length / (x.length / width) : x.length / width;
  const rows = weights.length / inner;
  const out = new Array<number>((transposed ? inner : rows) * width).fill(0);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < inner; i++)
      for (let c = 0; c < width; c++) {
        if (transposed) out[i * width + c]! += weights[row * inner + i]! * x[row * width + c]!;
        else out[row * width + c]! += weights[row * inner + i]! * x[i * width + c]!;
      }
  return out;
}

async function copyInto(small: Model, full: Model, changed: (name: string, values: Float32Array) => Float32Array) {
  for (const [name, { buffer, size }] of full.parameters) {
    const values = changed(name, await gpu.readFloats(buffer, size));
    gpu.write(small.parameters.get(name)!.buffer, 0, new Uint8Array(values.buffer));
  }
}

test("grids are interpolated between their borders: rows sum to 1, and one grid is itself", () => {
  for (const [from, to] of [
    [3, 2],
    [4, 3],
    [2, 4],
  ] as const) {
    const weights = gridWeights(from, to);
    const width = from ** 2 + 1;
    for (let row = 0; row <= to ** 2; row++)
      expect(weights.subarray(row * width, (row + 1) * width).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
  }
  expect([...gridWeights(3, 3)]).toEqual(Array.from({ length: 100 }, (_, i) => (i % 11 === 0 ? 1 : 0)));
  // Four places to one: the mean of all.
  expect([...gridWeights(2, 1)]).toEqual([1, 0, 0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25]);
});

test("a vit on smaller images is one of that size at interpolated positions, and so are its gradients", async () => {
  const full = await Model.fresh(gpu, VIT, "full", { seed: 1 });
  const small = await Model.fresh(gpu, { ...VIT, image_size: 8 }, "small", { seed: 2 });
  const grid = gridWeights(3, 2);
  await copyInto(small, full, (name, values) =>
    name === POSITIONS ? Float32Array.from(times(grid, values, 8)) : values,
  );
  const [own, wanted] = [await found(full, 8), await found(small, 8)];
  for (const [i, logit] of wanted.logits.entries()) expect(own.logits[i]!).toBeCloseTo(logit, 5);
  for (const [name, gradient] of wanted.gradients) {
    const other = name === POSITIONS ? times(grid, gradient, 8, true) : [...gradient];
    for (const [i, value] of other.entries()) expect(own.gradients.get(name)![i]!).toBeCloseTo(value, 5);
  }
  full.free();
  small.free();
});

test("a convnet with a mean over places takes smaller images as they are", async () => {
  const full = await Model.fresh(gpu, CONVNET, "full", { seed: 1 });
  const small = await Model.fresh(gpu, { ...CONVNET, image_size: 6 }, "small", { seed: 2 });
  expect(full.sizes.sides).toEqual({ multiple: 1, least: 2 });
  await copyInto(small, full, (_, values) => values);
  expect(await found(full, 6)).toEqual(await found(small, 6));
  full.free();
  small.free();
});
