/** What an adapter holds beside its tensors: a classifier's head, whole; and OFT with the exact transform. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../../src/checkpoint/open.ts";
import { type Batch, collate, stackExamples } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_ENCODERS, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-beside-"));
afterAll(() => rmSync(made, { recursive: true }));

async function baseOf(name: string, json: Json) {
  const model = await Model.fresh(gpu, json, name, { seed: 4 });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, `${join(made, name)}/`, { files, lineage: [] });
  model.free();
  return open(join(made, name));
}

const close = (found: Float32Array, wanted: Float32Array) => {
  for (const [i, x] of wanted.entries()) expect(found[i]!).toBeCloseTo(x, 4);
};

const tokens = (ids: readonly number[]) => ({
  tokens: { ids: Int32Array.from(ids), types: new Int32Array(ids.length) },
  label: 0,
});

const TEXTS: Batch = stackExamples([tokens([1, 5, 7, 2]), tokens([4, 8, 15])]);
const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 0, 3);
const ROWS: Batch = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });

/** A new adapter with drawn values, saved. */
async function adapterOf(base: Awaited<ReturnType<typeof baseOf>>, type: string, batch: Batch) {
  const choice = { type: bindDefaults(await loadMethod("adapter", type)), seed: 1 };
  const model = await Model.load(gpu, base, { adapter: choice });
  for (const [i, parameter] of model.trainable().entries()) parameter.write(normals(i, parameter.size, 0.2, 0.3));
  const wanted = await logitsOf(gpu, model, batch);
  const at = join(made, `${type}-adapter`);
  await saveModel(model, `${at}/`, { files: new Map(), lineage: [] });
  const whole = [...model.adapter!.whole.keys()];
  model.free();
  return { choice, wanted, at, whole };
}

// The triplet's result is another adapter than what is trained, a LoRA.
test.each(["ia3", "lora-triplet"])("a classifier's head is trained and saved whole beside %s", async (type) => {
  const base = await baseOf("bert", TINY_ENCODERS.bert!);
  const { choice, wanted, at, whole } = await adapterOf(base, type, TEXTS);
  expect(whole).toEqual(["classifier.weight", "classifier.bias"]);
  const config = JSON.parse(readFileSync(join(at, "adapter_config.json"), "utf8"));
  expect(config).toMatchObject({ task_type: "SEQ_CLS", modules_to_save: ["classifier"] });
  const adapter = await openPlain(at);
  expect(adapter.tensors.has("base_model.model.classifier.weight")).toBe(true);
  const again = await Model.load(gpu, base, { adapter: { ...choice, from: adapter } });
  expect(await logitsOf(gpu, again, TEXTS)).toEqual(wanted);
  again.free();
  const merged = await Model.load(gpu, await applyAdapter(base, adapter));
  close(await logitsOf(gpu, merged, TEXTS), wanted);
  merged.free();
  adapter.close();
  base.close();
});

test("OFT with the exact transform runs as it folds", async () => {
  const base = await baseOf("llama", TINY_TEXT.llama!);
  const { choice, wanted, at } = await adapterOf(base, "oft", ROWS);
  const file = join(at, "adapter_config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, JSON.stringify({ ...config, use_cayley_neumann: false }));
  const adapter = await openPlain(at);
  const live = await Model.load(gpu, base, { adapter: { ...choice, from: adapter } });
  const found = await logitsOf(gpu, live, ROWS);
  expect(found).not.toEqual(wanted);
  live.free();
  const merged = await Model.load(gpu, await applyAdapter(base, adapter));
  close(await logitsOf(gpu, merged, ROWS), found);
  merged.free();
  adapter.close();
  base.close();
});
