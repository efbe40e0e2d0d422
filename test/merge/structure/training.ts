/** Short trainings of tiny decoders, from checkpoint to checkpoint, for experiments with results of another shape. */
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { collate } from "../../../src/data/batch.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { trainModel } from "../../../src/run/training/train-model.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { entryOf } from "../../support/entry.ts";
import { randomWords } from "../../support/random.ts";
import { checkpointOf } from "./networks.ts";

const LENGTH = 10;

/** Sequences in which 5 a + 1 follows a, modulo 12: from the first token on, all others are known. */
function sequences(count: number, seed: number): Sequence[] {
  const word = randomWords(seed);
  return Array.from({ length: count }, (_, i) => {
    const ids = [word() % 12];
    while (ids.length < LENGTH) ids.push((5 * ids.at(-1)! + 1) % 12);
    return { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: `${i}` };
  });
}

const batches = (seed: number, count: number) =>
  collate(
    sequences(count, seed).map((one) => [one]),
    { buckets: "none" },
  );

async function saved(gpu: Gpu, model: Model, ref: string, json: Json): Promise<Checkpoint> {
  const entries = await Promise.all(
    model.stored.map(async ({ name, parameter, start, shape }) => {
      const count = shape.reduce((a, b) => a * b, 1);
      return entryOf(name, "F32", shape, await gpu.readFloats(parameter.buffer, count, 4 * start));
    }),
  );
  model.free();
  return checkpointOf(ref, json, entries);
}

const configOf = ({ files }: Checkpoint): Json =>
  JSON.parse(new TextDecoder().decode(files.get("config.json")!)) as Json;

/** A network as it begins. */
export const fresh = async (gpu: Gpu, json: Json, seed: number, ref: string): Promise<Checkpoint> =>
  saved(gpu, await Model.fresh(gpu, json, ref, { seed }), ref, json);

interface Run {
  readonly steps: number;
  readonly seed: number;
  readonly ref: string;
  /** Names that stay as they are. */
  readonly freeze?: (name: string) => boolean;
}

/** The network after some steps. */
export async function trained(gpu: Gpu, from: Checkpoint, { steps, seed, ref, freeze }: Run): Promise<Checkpoint> {
  const model = await Model.load(gpu, from, freeze ? { freeze } : {});
  let at = 0;
  await trainModel({
    ...{ model, objective: crossEntropyObjective(model), optimizer: bindDefaults(adamw), steps, seed },
    source: {
      ...{ groups: [{ name: "rows", rows: 16, tokens: 16 * LENGTH }], batchesPerEpoch: steps },
      largest: () => batches(1, 16),
      next: () => ({ batch: batches(100 * seed + at++, 16), epoch: 0 }),
      state: () => ({ made_with: {}, epoch: 0, batch: at, drawn: [] }),
      load: () => {},
    },
    rate: (step) => 1e-2 * Math.min(1, step / 5),
    signal: new AbortController().signal,
  });
  return saved(gpu, model, ref, configOf(from));
}

/** Mean cross-entropy of sequences that no training sees. */
export async function heldOut(gpu: Gpu, checkpoint: Checkpoint): Promise<number> {
  const model = await Model.load(gpu, checkpoint, { freeze: () => true });
  const batch = batches(7, 32);
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu), { training: false });
  rec.output("loss", objective.record(rec, batch, "").metrics.loss!);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, batch.counted, "");
  program.run();
  const [loss] = await program.read("loss");
  program.free();
  model.free();
  return loss!;
}
