/** Weights that stay on the disk: the same bits as with all in memory, one layer's room, reads that fail. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint, TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { open } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { Scorer } from "../../src/run/scoring/scorer.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-offload-"));
afterAll(() => rmSync(folder, { recursive: true }));

const batch = (ids: readonly number[]) =>
  collate([[{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "0" }]], { buckets: "none" });
const [SHORT, LONG] = [batch([1, 5, 7]), batch([4, 8, 15, 16, 23, 30, 2, 9])];

async function saved(name: string, json: Json): Promise<string> {
  const model = await Model.fresh(gpu, json, name, { seed: 2 });
  const target = join(folder, name.replaceAll(" ", "-"));
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, `${target}/`, { files, lineage: [] });
  model.free();
  return target;
}

const load = (checkpoint: Checkpoint, offload: boolean) => Model.load(gpu, checkpoint, { freeze: () => true, offload });

const MODELS: Readonly<Record<string, Json>> = {
  llama: { ...TINY_TEXT.llama!, num_hidden_layers: 5 },
  gpt2: TINY_TEXT.gpt2!,
  gemma3_text: TINY_DECODERS.gemma3_text!,
  deepseek_v3: TINY_DECODERS.deepseek_v3!,
  gpt_oss: TINY_DECODERS.gpt_oss!,
  olmoe: TINY_EXPERTS.olmoe!,
};

test.each(Object.keys(MODELS))("%s scores rows as with all weights in memory, many at a time", async (name) => {
  const checkpoint = await open(await saved(name, MODELS[name]!));
  const found = [];
  for (const offload of [false, true]) {
    const model = await load(checkpoint, offload);
    // Two scorers whose programs take turns, as a dump beside a metric does.
    const [one, two] = [new Scorer(model), new Scorer(model)];
    found.push(await Promise.all([one.score(SHORT), two.score(LONG), one.score(LONG), two.score(SHORT)]));
    for (const scorer of [one, two]) await scorer.free();
    model.free();
  }
  expect(found[1]).toEqual(found[0]);
  checkpoint.close();
});

test("the layers of a model take the room of one", async () => {
  const checkpoint = await open(await saved("deep", { ...TINY_TEXT.llama!, num_hidden_layers: 9, vocab_size: 16 }));
  const bytes = [];
  for (const offload of [false, true]) {
    const dry = await openGpu({ dry: true });
    const model = await Model.load(dry, checkpoint, { freeze: () => true, offload });
    bytes.push(dry.pool.peak);
    model.free();
    dry.close();
  }
  expect(bytes[1]!).toBeLessThan(bytes[0]! / 4);
  checkpoint.close();
});

test("a read that fails ends the run, and the next one reads the weights whole", async () => {
  const checkpoint = await open(await saved("flaky", MODELS.llama!));
  const whole = await load(checkpoint, false);
  const scorer = new Scorer(whole);
  const wanted = await scorer.score(SHORT);
  await scorer.free();
  whole.free();
  let broken = false;
  const flaky = (entry: TensorEntry): TensorEntry => ({
    ...entry,
    read: async (into, offset) => {
      await entry.read(into, offset);
      if (broken && entry.name.includes("layers.3.mlp")) throw new Error("the disk is gone");
    },
  });
  const tensors = new Map([...checkpoint.tensors].map(([name, entry]) => [name, flaky(entry)]));
  const model = await load({ ...checkpoint, tensors }, true);
  const own = new Scorer(model);
  broken = true;
  expect(own.score(SHORT)).rejects.toThrow("the disk is gone");
  await own.score(SHORT).catch(() => {});
  broken = false;
  expect(await own.score(SHORT)).toEqual(wanted);
  await own.free();
  model.free();
  checkpoint.close();
});

test("a pipe is refused: its layers come once", async () => {
  const checkpoint = await open(await saved("piped", MODELS.llama!));
  expect(load({ ...checkpoint, retain() {} } as Checkpoint, true)).rejects.toThrow("comes through a pipe");
  checkpoint.close();
});
