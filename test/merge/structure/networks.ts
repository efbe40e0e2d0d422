/** Tiny networks of every architecture as checkpoints in memory, and what they compute. */
import type { Checkpoint, TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { type Batch, collate, stackExamples } from "../../../src/data/batch.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { recipeFromArguments } from "../../../src/merge/plan/arguments.ts";
import { type MergePlan, planMerge } from "../../../src/merge/plan/merge-plan.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import type { Inputs, Json } from "../../../src/model/architecture.ts";
import { Model, type Recorded } from "../../../src/model/model.ts";
import { type NamedModel, nameModels } from "../../../src/model/names.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { entryOf } from "../../support/entry.ts";
import { writtenBytes } from "../../support/job.ts";
import { normals } from "../../support/random.ts";

/** A checkpoint of these tensors. */
export function checkpointOf(ref: string, json: Json, tensors: Iterable<TensorEntry>): Checkpoint {
  return {
    ...{ ref, kind: "folder", lineage: [], headerSha256: ref },
    tensors: new Map([...tensors].map((entry) => [entry.name, entry])),
    files: new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]),
    close() {},
  };
}

/** A new network with every tensor random, norms and biases too. */
export async function network(gpu: Gpu, json: Json, seed: number, ref = `m${seed}`): Promise<Checkpoint> {
  const model = await Model.fresh(gpu, json, ref, { seed });
  const entries = await Promise.all(
    model.stored.map(async ({ name, parameter, start, shape }, i) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const values =
        shape.length === 1
          ? normals(100 * seed + i, count, 0.3, name.endsWith("bias") ? 0 : 1)
          : await gpu.readFloats(parameter.buffer, count, 4 * start);
      return entryOf(name, "F32", shape, values);
    }),
  );
  model.free();
  return checkpointOf(ref, json, entries);
}

export const named = (checkpoint: Checkpoint): NamedModel =>
  nameModels(new Map([["it", checkpoint]]), "it", []).get("it")!;

export function batchFor(model: Model): Batch {
  const { text, example } = model.sizes;
  if (example && example.length > 0) {
    const size = example.reduce((a, b) => a * b, 1);
    return stackExamples([0, 1, 2].map((label) => ({ x: normals(label, size), shape: example, label })));
  }
  const texts = [
    [1, 5, 7, 2, 9, 49, 0, 3, 3],
    [4, 8, 15, 16, 23, 42, 4, 8, 15],
  ].map((ids) => Int32Array.from(ids));
  if (text)
    return stackExamples(texts.map((ids) => ({ tokens: { ids, types: new Int32Array(ids.length) }, label: 0 })));
  return collate(
    texts.map((ids, i) => [{ ids, labels: ids, group: 0, place: `${i}` }]),
    { buckets: "none" },
  );
}

/** Logits of a fixed batch; `record` says how its pass is recorded. */
export async function logitsOf(
  gpu: Gpu,
  checkpoint: Checkpoint,
  record: (model: Model, rec: Recorder, inputs: Inputs) => Recorded | Promise<Recorded> = (model, rec, inputs) =>
    model.record(rec, inputs),
): Promise<Float32Array> {
  const model = await Model.load(gpu, checkpoint, { freeze: () => true });
  const batch = batchFor(model);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const recorded = await record(model, rec, recordInputs(rec, batch));
  rec.output("logits", recorded.head(recorded.hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const logits = await program.read("logits");
  model.free();
  return logits as Float32Array;
}

/** Largest difference, as a share of the largest value. */
export function apart(found: Float32Array, wanted: Float32Array): number {
  const most = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return (
    wanted.reduce((a, b, i) => Math.max(a, Math.abs(b - found[i]!)), found.length === wanted.length ? 0 : 9) / most
  );
}

/** All values of a tensor. */
export async function valuesOf(entry: TensorEntry): Promise<Uint8Array> {
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  return bytes;
}

/** What a method makes of checkpoints, planned and run as `merge` does. Options as typed. */
export async function mergedBy(
  gpu: Gpu,
  name: string,
  {
    models,
    base,
    values = {},
  }: {
    readonly models: readonly Checkpoint[];
    readonly base?: Checkpoint;
    readonly values?: Readonly<Record<string, string>>;
  },
): Promise<{ readonly checkpoint: Checkpoint; readonly plan: MergePlan }> {
  const method = await loadMethod("merge", name);
  const recipe = recipeFromArguments({
    ...{ models: models.map(({ ref }) => ref), method, values: new Map(Object.entries(values)) },
    ...(base && { base: base.ref }),
  });
  const opened = new Map([...models, ...(base ? [base] : [])].map((one) => [one.ref, one]));
  const plan = await planMerge(recipe, opened, method);
  const bytes = await writtenBytes(gpu, method, plan.tensors);
  const entries = plan.tensors.map(({ name: tensor, outDtype, shape }) => ({
    ...entryOf(tensor, outDtype, shape, decodeFloats(bytes.get(tensor)!, outDtype)),
  }));
  return { checkpoint: { ...checkpointOf(name, {}, entries), files: plan.files }, plan };
}

/** config.json of a checkpoint. */
export const configOf = ({ files }: Checkpoint): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(files.get("config.json")!));
