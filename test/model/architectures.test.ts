/**
 * Every architecture against float64: logits, loss, and sampled entries of every weight's gradient by central
 * differences.
 */

import { describe, expect, test } from "bun:test";
import { type Batch, collate, stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomWords } from "../support/random.ts";
import { TINY_ENCODERS, TINY_EXAMPLES, TINY_NEOX, TINY_TEXT } from "../support/tiny-models.ts";
import { referenceLogits, referenceLoss } from "./reference.ts";

const gpu = await sharedGpu();
const ENTRIES = 3; // of each tensor
const STEP = 1e-4;

async function weightsOf(model: Model): Promise<Map<string, Float64Array>> {
  const weights = new Map<string, Float64Array>();
  for (const { name, parameter, start, shape } of model.stored) {
    const count = shape.reduce((a, b) => a * b, 1);
    weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, count, 4 * start)));
  }
  return weights;
}

/** Moves norms and biases off their initial ones and zeros, where mistakes would hide. */
function disturb(model: Model): void {
  for (const [i, { parameter }] of model.stored.entries()) {
    if (parameter.shape.length === 1)
      parameter.write(normals(i, parameter.size, 0.3, parameter.name.endsWith("bias") ? 0 : 1));
  }
}

const relative = (got: ArrayLike<number>, wanted: Float64Array): number => {
  const most = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return wanted.reduce((a, b, i) => Math.max(a, Math.abs(b - got[i]!)), 0) / most;
};

/**
 * Runs loss and gradients of a program that accumulates into the parameters, and compares sampled entries. Gradients
 * that are all below `zero` count as nothing.
 */
async function checkGradients(
  model: Model,
  program: Program,
  weights: Map<string, Float64Array>,
  loss: () => number,
  zero = 1e-3,
): Promise<void> {
  program.run({ accumulate: 0 });
  expect(Math.abs((await program.read("loss"))[0]! / loss() - 1)).toBeLessThan(2e-6);
  const word = randomWords(7);
  for (const { name, parameter, start, shape } of model.stored.filter(({ parameter }) => parameter.trainable)) {
    const count = shape.reduce((a, b) => a * b, 1);
    const gradient = await gpu.readFloats(parameter.gradient, count, 4 * start);
    const most = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const values = weights.get(name)!;
    for (let n = 0; n < ENTRIES; n++) {
      const i = word() % count;
      const kept = values[i]!;
      const slope = (h: number) => {
        values[i] = kept + h;
        const above = loss();
        values[i] = kept - h;
        const below = loss();
        values[i] = kept;
        return (above - below) / (2 * h);
      };
      const exact = (4 * slope(STEP / 2) - slope(STEP)) / 3;
      const error = Math.abs(gradient[i]! - exact) / Math.max(most, zero); // some gradients are zero but for rounding
      if (!(error < 2e-5))
        throw new Error(`${name}[${i}]: gradient ${gradient[i]}, by differences ${exact}, largest ${most}`);
    }
  }
}

interface Reference {
  readonly logits: () => Float64Array;
  readonly loss: () => number;
  /** As `checkGradients` takes it. */
  readonly zero?: number;
}

/** Compares logits, loss and gradients of a batch with the reference, and frees the model. */
async function checkModel(model: Model, batch: Batch, weights: Map<string, Float64Array>, reference: Reference) {
  const forward = new Recorder(profileOf(gpu), { training: false });
  const recorded = model.record(forward, recordInputs(forward, batch));
  forward.output("logits", recorded.head(recorded.hidden));
  const logits = await Program.compile(gpu, forward);
  fillInputs(logits, batch);
  logits.run();
  expect(relative(await logits.read("logits"), reference.logits())).toBeLessThan(5e-6);

  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  rec.output("loss", metrics.loss!);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  await checkGradients(model, program, weights, reference.loss, reference.zero);
  model.free();
}

const { gpt2: _, ...TEXT } = { ...TINY_TEXT, ...TINY_NEOX };

describe.each(Object.keys(TEXT))("%s", (name) => {
  test("logits, loss and gradients", async () => {
    const json = TEXT[name] as Json;
    const model = await Model.fresh(gpu, json, name, { seed: 3 });
    disturb(model);
    const weights = await weightsOf(model);
    const ids = [
      [1, 5, 7, 2, 9, 49, 0, 3, 3],
      [4, 8, 15, 16, 23, 42, 4, 8, 15],
    ];
    const batch = collate(
      ids.map((row, i) => [{ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }]),
      { buckets: "none" },
    );
    await checkModel(model, batch, weights, {
      logits: () => referenceLogits(json, weights, { ids }),
      loss: () => referenceLoss(json, weights, { ids }),
    });
  }, 120_000);
});

/** Texts of several lengths, so that some are padded. */
const TEXTS = [
  [2, 5, 7, 11, 3, 3, 40, 49, 9],
  [2, 8, 3],
  [2, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 3],
].map((ids) => ({ ids: Int32Array.from(ids), types: Int32Array.from(ids, (_, i) => (i > ids.length / 2 ? 1 : 0)) }));

describe.each(Object.keys(TINY_ENCODERS))("%s", (name) => {
  test("logits, loss and gradients", async () => {
    const json = TINY_ENCODERS[name] as Json;
    const model = await Model.fresh(gpu, json, name, { seed: 3 });
    disturb(model);
    const weights = await weightsOf(model);
    const { types: kinds = 0 } = model.sizes.text!;
    const texts = TEXTS.map(({ ids, types }) => ({ ids, types: kinds > 1 ? types : new Int32Array(ids.length) }));
    const labels = [0, 1, 1];
    const batch = stackExamples(texts.map((tokens, i) => ({ tokens, label: labels[i]! })));
    const given = { texts: texts.map(({ ids, types }) => ({ ids: [...ids], types: [...types] })), labels };

    await checkModel(model, batch, weights, {
      logits: () => referenceLogits(json, weights, given),
      loss: () => referenceLoss(json, weights, given),
      zero: 1e-2,
    });
  }, 120_000);
});

describe.each(Object.keys(TINY_EXAMPLES))("%s", (name) => {
  test("logits, loss and gradients", async () => {
    const json = TINY_EXAMPLES[name] as Json;
    const model = await Model.fresh(gpu, json, name, { seed: 3 });
    disturb(model);
    const weights = await weightsOf(model);
    const shape = model.sizes.example ?? [];
    const size = shape.reduce((a, b) => a * b, 1);
    const examples = [0, 1, 2].map((label, i) => ({ x: normals(i, size), shape, label }));
    const batch = stackExamples(examples);
    const labels = examples.map(({ label }) => label);
    const x = examples.map((example) => [...example.x]);

    await checkModel(model, batch, weights, {
      logits: () => referenceLogits(json, weights, { x }),
      loss: () => referenceLoss(json, weights, { x, labels }),
    });
  }, 120_000);
});

test("a packed row gives each document the loss it has alone", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.qwen3!, "qwen3", { seed: 3 });
  const documents = [
    [1, 5, 7, 2],
    [9, 49, 0, 3, 3],
    [11, 12],
  ].map((row, i) => ({
    ids: Int32Array.from(row),
    labels: Int32Array.from(row),
    group: 0,
    place: `${i}`,
  }));
  const lossOf = async (bins: (typeof documents)[]) => {
    const objective = crossEntropyObjective(model);
    const batch = collate(bins);
    const rec = new Recorder(profileOf(gpu), { training: false });
    rec.output("loss", objective.record(rec, batch, "").metrics.loss!);
    const program = await Program.compile(gpu, rec);
    objective.fill(program, batch, batch.counted, "");
    program.run();
    return (await program.read("loss"))[0]!;
  };
  expect(await lossOf([documents])).toBeCloseTo(await lossOf(documents.map((document) => [document])), 5);
  model.free();
});
