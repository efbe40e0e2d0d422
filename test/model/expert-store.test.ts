/** Experts that take turns on the device: the bytes of all in memory, what is loaded, and what is taken. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { open } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { Scorer } from "../../src/run/scoring/scorer.ts";
import { measureRouting } from "../../src/run/tracing/routing.ts";
import { sequenceBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Training } from "../../src/run/training/train-model.ts";
import { copyState, type SavedTraining } from "../../src/run/training/training-state.ts";
import { POLICIES, type PolicyName } from "../../src/tensor/paging/cache.ts";
import { method as adafactor } from "../../src/train/methods/optimizers/adafactor.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-experts-"));
afterAll(() => rmSync(folder, { recursive: true }));
const { signal } = new AbortController();

const EXPERTS = 4;
/** Two layers of four experts; matrices whose sizes are no multiple of 4. */
const MIXTRAL: Json = { ...TINY_EXPERTS.mixtral!, intermediate_size: 11, num_experts_per_tok: 1 };

const rows: Sequence[] = Array.from({ length: 6 }, (_, i) => {
  const ids = Int32Array.from({ length: 5 + (i % 2) }, (_, at) => (7 * i + 3 * at + at * at) % 50);
  return { ids, labels: ids, group: 0, place: `rows:${i}` };
});

const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0);
const counts = { rows: rows.length, sequences: rows.length, tokens, counted: tokens - rows.length };
const lengths = Int32Array.from(rows, ({ ids }) => ids.length);
const data = { sequences: rows, groups: [{ name: "rows", ...counts, lengths }] };

async function saved(name: string, json: Json): Promise<string> {
  const model = await Model.fresh(gpu, json, name, { seed: 2 });
  const target = join(folder, name);
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, `${target}/`, { files, lineage: [] });
  model.free();
  return target;
}
const source = await saved("mixtral", MIXTRAL);
const CONFIG = new Map([["config.json", new TextEncoder().encode(JSON.stringify(MIXTRAL))]]);

interface Trained {
  readonly folder: string;
  readonly saved: SavedTraining;
  readonly bytes: Uint8Array;
  readonly states: readonly Uint8Array[];
  /** Bytes from the host at every step. */
  readonly loaded: readonly number[];
  readonly stored: number;
  readonly device: number;
  readonly places: number;
  readonly pages: number;
}

let runs = 0;

/** Trains some steps of two micro-batches, with all experts in memory or with so many slots. */
async function trained(
  slots?: number,
  policy: PolicyName = "lru",
  { recompute = false, until = 2, from }: { recompute?: boolean; until?: number; from?: Trained } = {},
) {
  const checkpoint = await open(from?.folder ?? source);
  const experts = slots === undefined ? undefined : { slots, policy, seed: 0 };
  const model = await Model.load(gpu, checkpoint, { experts });
  const training = await Training.make({
    model,
    source: sequenceBatches(data, { batchSize: 2, seed: 0 }),
    objective: crossEntropyObjective(model, { recompute }),
    optimizer: bindDefaults(adamw),
    decays: () => true,
    rate: () => 0.01,
    steps: 2,
    accumulate: 2,
    clip: 0.5,
    seed: 0,
  });
  if (from) await training.load(from.saved);
  const { store } = model;
  const loaded: number[] = [];
  await training.run({
    signal,
    after: async (step) => {
      loaded.push((store?.moved.loaded ?? 0) - loaded.reduce((a, b) => a + b, 0));
      return step === until;
    },
  });
  const target = join(folder, `trained-${runs++}`);
  await saveModel(model, `${target}/`, { files: CONFIG, lineage: [], dtype: "held" });
  const state = await copyState(gpu, training.state());
  const names = training.state().tensors.map(({ name }) => name);
  const found: Trained = {
    folder: target,
    saved: state,
    bytes: new Uint8Array(await Bun.file(join(target, "model.safetensors")).arrayBuffer()),
    states: await Promise.all(names.map(async (name) => (await state.read(name))!)),
    loaded,
    stored: store?.moved.stored ?? 0,
    device: store?.deviceBytes ?? 0,
    places: store?.placeBytes ?? 0,
    pages: store?.pageBytes ?? 0,
  };
  await training.free();
  model.free();
  checkpoint.close();
  return found;
}

const whole = await trained();
const ALL = 2 * EXPERTS;
const SLOTS = [1, 3, ALL];
const bySlots = new Map<number, Trained>();
for (const slots of SLOTS) bySlots.set(slots, await trained(slots, "oracle"));

describe("training", () => {
  test.each(SLOTS)("%d slots give the weights and the states of all in memory", (slots) => {
    expect(bySlots.get(slots)!.bytes).toEqual(whole.bytes);
    expect(bySlots.get(slots)!.states).toEqual(whole.states);
  });

  test.each(POLICIES.filter((policy) => policy !== "oracle"))("%s gives them, too", async (policy) => {
    const found = await trained(3, policy);
    expect(found.bytes).toEqual(whole.bytes);
    // No policy asks the host for less than the one that knows the order.
    expect(found.loaded[1]).toBeGreaterThanOrEqual(bySlots.get(3)!.loaded[1]!);
  });

  test("blocks that are recomputed give them, too", async () => {
    expect((await trained(2, "lru", { recompute: true })).bytes).toEqual(whole.bytes);
  });

  test("one that is left off with some slots goes on with others, or with all in memory", async () => {
    const half = await trained(2, "lru", { until: 1 });
    expect(half.bytes).not.toEqual(whole.bytes);
    for (const slots of [3, undefined]) {
      const rest = await trained(slots, "oracle", { from: half });
      expect(rest.bytes).toEqual(whole.bytes);
      expect(rest.states).toEqual(whole.states);
    }
  });

  test("fewer bytes come from the host as slots grow, and none after the first step when all fit", () => {
    const after = SLOTS.map((slots) => bySlots.get(slots)!.loaded[1]!);
    for (let i = 1; i < after.length; i++) expect(after[i]!).toBeLessThan(after[i - 1]!);
    expect(after.at(-1)).toBe(0);
    expect(bySlots.get(ALL)!.loaded[0]).toBeGreaterThan(0);
    expect(bySlots.get(ALL)!.stored).toBe(0);
  });

  test("the device holds the slots and one page of every kind", () => {
    const expert = bySlots.get(ALL)!.pages / ALL; // with gradients and states
    for (const [slots, { device, places }] of bySlots) {
      expect(places).toBe(expert);
      expect(device).toBe((slots + 1) * expert);
    }
  });

  test("optimizers that need whole weights are refused", async () => {
    const checkpoint = await open(source);
    const model = await Model.load(gpu, checkpoint, { experts: { slots: 2, policy: "lru", seed: 0 } });
    const making = Training.make({
      model,
      source: sequenceBatches(data, { batchSize: 2, seed: 0 }),
      objective: crossEntropyObjective(model),
      optimizer: bindDefaults(adafactor),
      rate: () => 0.01,
      steps: 1,
      seed: 0,
    });
    expect(making).rejects.toThrow("--optimizer adafactor works on all of a weight at once");
    await making.catch(() => {});
    expect(model.frozenCopy()).rejects.toThrow("needs all of model.layers.0");
    model.free();
    checkpoint.close();
  });
});

const batch = (ids: readonly number[]) =>
  collate([[{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "0" }]], { buckets: "none" });
const LONG = batch([4, 8, 15, 16, 23, 30, 2, 9]);

const MODELS: Readonly<Record<string, Json>> = {
  olmoe: TINY_EXPERTS.olmoe!,
  qwen2_moe: TINY_EXPERTS.qwen2_moe!,
  // All experts of a layer in one tensor, (E, in, out).
  gpt_oss: TINY_DECODERS.gpt_oss!,
};

describe("running", () => {
  test.each(Object.keys(MODELS))("%s scores rows as with all experts in memory, many at a time", async (name) => {
    const checkpoint = await open(await saved(name, MODELS[name]!));
    const found = [];
    for (const experts of [undefined, { slots: 1, policy: "mark-predict", seed: 0 } as const]) {
      const model = await Model.load(gpu, checkpoint, { freeze: () => true, experts });
      const [one, two] = [new Scorer(model), new Scorer(model)];
      found.push(await Promise.all([one.score(batch([1, 5, 7])), two.score(LONG), one.score(LONG)]));
      for (const scorer of [one, two]) await scorer.free();
      model.free();
    }
    expect(found[1]).toEqual(found[0]);
    checkpoint.close();
  });

  test("experts that no token takes are not read", async () => {
    const checkpoint = await open(source);
    const experts = { slots: 1, policy: "lru", seed: 0 } as const;
    const model = await Model.load(gpu, checkpoint, { freeze: () => true, experts });
    const scorer = new Scorer(model);
    await scorer.score(batch([3])); // one token, one expert of each of two layers
    expect(model.store!.moved.loaded).toBe((2 * model.store!.pageBytes) / ALL);
    await scorer.free();
    model.free();
    checkpoint.close();
  });

  test("a model without experts and a pipe are refused", async () => {
    const dense = await open(await saved("dense", TINY_TEXT.llama!));
    const experts = { slots: 1, policy: "lru", seed: 0 } as const;
    expect(Model.load(gpu, dense, { experts })).rejects.toThrow("a llama has no experts");
    const checkpoint = await open(source);
    expect(Model.load(gpu, { ...checkpoint, retain() {} } as Checkpoint, { experts })).rejects.toThrow(
      "comes through a pipe, and --expert-store stream reads",
    );
    checkpoint.close();
    dense.close();
  });

  test("work that runs all of a model at once is refused, and says why", async () => {
    const checkpoint = await open(source);
    const model = await Model.load(gpu, checkpoint, { experts: { slots: 2, policy: "lru", seed: 0 } });
    expect(measureRouting(model, [LONG], { signal })).rejects.toThrow("this work needs all of them at once");
    model.free();
    checkpoint.close();
  });
});
