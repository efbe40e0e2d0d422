/**
 * Whole decoders by central differences: the loss along the gradient of each weight falls as that gradient says. The
 * models of architectures.test.ts and moe.test.ts have a reference in float64 besides.
 */
import { expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_DECODERS } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const IDS = [
  [1, 5, 7, 2, 9, 36, 0, 3, 3, 12, 30],
  [4, 8, 15, 16, 23, 30, 4, 8, 15, 2, 2],
];
const BATCH = collate(
  IDS.map((row, i) => [{ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }]),
  { buckets: "none" },
);
const CHANGE = 0.003; // of the loss, at each step along a direction of length 1
const FARTHEST = 0.03;
const FARTHEST_OF_ROUTER = 0.003; // another choice of experts is another function
/** Draws in which no token chooses other experts within a step; 3 where it is not said. */
const SEEDS: Readonly<Record<string, number>> = { deepseek: 4 };
const FLOOR = 0.02; // below this a gradient is compared absolutely: the loss is known to 2e-7

/** The loss, and with `backward` the gradients of it. */
async function lossProgram(model: Model, backward: boolean): Promise<Program> {
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const recorded = objective.record(rec, BATCH, "");
  rec.output("loss", recorded.metrics.loss!);
  if (backward) rec.backward(recorded.backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, BATCH, objective.counted(BATCH, ""), "");
  return program;
}

test.each(Object.keys(TINY_DECODERS))(
  "%s: each gradient is the slope of the loss",
  async (name) => {
    const model = await Model.fresh(gpu, TINY_DECODERS[name]!, name, { seed: SEEDS[name] ?? 3 });
    for (const [i, { parameter }] of model.stored.entries()) {
      const mean = parameter.name.endsWith("bias") ? 0 : 1;
      if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3, mean));
      // As fresh, rows are so short that a norm right after them bends the loss within a step.
      if (/embed_tokens/.test(parameter.name)) parameter.write(normals(i, parameter.size, 0.5));
    }
    const trained = await lossProgram(model, true);
    trained.run({ accumulate: 0 });
    const program = await lossProgram(model, false);
    const lossAt = async () => {
      program.run();
      return (await program.read("loss"))[0]!;
    };
    for (const parameter of model.parameters.values()) {
      if (!parameter.trainable) continue;
      const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
      const values = await gpu.readFloats(parameter.buffer, parameter.size);
      const length = Math.hypot(...gradient);
      const direction = length === 0 ? normals(1, parameter.size) : gradient.map((x) => x / length);
      const moved = async (by: number) => {
        parameter.write(values.map((x, i) => x + by * direction[i]!));
        return lossAt();
      };
      const step = Math.min(/gate\.weight$/.test(parameter.name) ? FARTHEST_OF_ROUTER : FARTHEST, CHANGE / length);
      const slope = ((await moved(step)) - (await moved(-step))) / (2 * step);
      parameter.write(values);
      const error = Math.abs(slope - length) / Math.max(length, FLOOR);
      if (!(error < 0.01)) throw new Error(`${parameter.name}: ${length} by the gradient, ${slope} by differences`);
    }
    expect(model.parameters.size).toBeGreaterThan(10);
    for (const one of [trained, program, model]) one.free();
  },
  60_000,
);
