/** Streams at test time inside the test's process: a small network, clouds of numbers that move, and learners. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Example } from "../../../src/data/examples.ts";
import { Random } from "../../../src/data/random.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { augmenter } from "../../../src/run/test-time/augment.ts";
import { type Learner, type Setting, type TestTimeMethod, trainsWeight } from "../../../src/run/test-time/contract.ts";
import { normNames } from "../../../src/run/test-time/open.ts";
import { SourceRows } from "../../../src/run/test-time/source-rows.ts";
import { streamBatch } from "../../../src/run/test-time/stream.ts";
import { freshAggregator } from "../../../src/run/twice/aggregator.ts";
import { saveAggregator } from "../../../src/run/twice/aggregator-file.ts";
import { sharedGpu } from "../../support/gpu.ts";

export const [WIDTH, CLASSES, BATCH] = [6, 3, 8];
export const NET: Json = { model_type: "mlp", input_size: WIDTH, hidden_sizes: [10, 7], num_labels: CLASSES };
/** The same with norms over the batch. */
export const NORMED: Json = { ...NET, hidden_norm: "batch" };

/** The same with heads of domains. */
export const HEADED: Json = { ...NORMED, domain_heads: { domains: ["a", "b"], gamma: 1 } };

/** Rows about the centres of their classes, moved by `shift`. */
export function rowsFor(name: string, count: number, shift = 0): Example[] {
  const centre = new Random("centres");
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: WIDTH }, () => 1.5 * centre.normal()));
  return Array.from({ length: count }, (_, i) => {
    const random = new Random("rows", name, i);
    const label = random.below(CLASSES);
    const x = Float32Array.from(centres[label]!, (c) => c + 0.5 * random.normal() + shift);
    return { x, shape: [WIDTH], label, group: 0, place: `${name}:${i + 1}` };
  });
}

/** Files that meta-dmoe reads: an aggregator and an expert, as new as the student. */
export async function metaParts(): Promise<Readonly<Record<string, unknown>>> {
  const folder = mkdtempSync(join(tmpdir(), "ingot-meta-parts-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const form = { width: 7, heads: 1, classes: CLASSES };
  const [aggregator, expert] = ["aggregator.safetensors", "expert.safetensors"].map((name) => join(folder, name));
  await saveAggregator(aggregator!, { weights: freshAggregator(form, 1), form, rate: 0.1 }, []);
  const model = await Model.fresh(await sharedGpu(), NET, "net", { seed: 2 });
  await saveModel(model, expert!, { files: new Map([["config.json", Buffer.from(JSON.stringify(NET))]]), lineage: [] });
  model.free();
  return { meta_aggregator: aggregator, meta_experts: [expert] };
}

export interface LabOptions {
  readonly values?: Readonly<Record<string, unknown>>;
  readonly rate?: number;
  readonly net?: Json;
  readonly seed?: number;
  readonly source?: boolean;
}

/** A learner at a network that nothing has trained, and what it was made with. */
export async function learnerOf(
  name: string,
  { values = {}, rate, net = NORMED, seed = 0, source = true }: LabOptions = {},
): Promise<{ readonly learner: Learner; readonly setting: Setting; free(): void }> {
  const gpu = await sharedGpu();
  const method = (await loadMethod("test-time", name)) as TestTimeMethod;
  const model = await Model.fresh(gpu, net, "net", { seed: 1 });
  const norms = normNames(model.specs);
  for (const parameter of model.trainable()) parameter.trainable = trainsWeight(method, parameter.name, norms);
  const bound = bindDefaults(method, values);
  const setting: Setting<never> = {
    ...{ gpu, model, values: bound.values, classes: CLASSES, batchSize: BATCH, seed },
    rate: rate ?? method.rate ?? 0,
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { beta2: 0.999, weight_decay: 0 }),
    source: source ? new SourceRows(rowsFor("source", 24), seed) : undefined,
    augment: augmenter({ kind: "noise", strength: 0.1, seed }),
    signal: new AbortController().signal,
    info() {},
  };
  method.check?.(bound.values, { hasSource: source, hasBatchNorm: net.hidden_norm !== undefined, json: net });
  const learner = await method.begin(setting);
  return {
    ...{ learner, setting },
    free() {
      learner.free?.();
      model.free();
    },
  };
}

/** Scores of some batches, one after the other; with `learn`, each is learnt from after it is answered. */
export async function scoresOf(learner: Learner, batches: readonly (readonly Example[])[], learn = true) {
  const found: Float32Array[] = [];
  for (const [index, rows] of batches.entries()) {
    const batch = streamBatch(rows, index);
    const predicted = await learner.predict(batch);
    found.push(predicted.scores);
    if (learn) await learner.learn?.(batch, predicted);
  }
  return found;
}

/** Batches of rows that move away from the source. */
export const movingBatches = (count = 3) =>
  Array.from({ length: count }, (_, i) => rowsFor(`moved ${i}`, BATCH, 0.3 * i));
