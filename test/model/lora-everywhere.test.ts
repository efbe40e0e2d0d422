/**
 * LoRA of every language model that is known: every matrix of its checkpoint has an adapter, each of them learns, and
 * what is written reloads to the same logits and merges to what was computed. Gradients against float64 are in
 * moe.test.ts, files of PEFT's own in test/golden/train.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { architectureOf, modelTypes } from "../../src/model/registry.ts";
import { saveModel } from "../../src/model/save.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { logitsOf } from "../golden/formats/train.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { normals } from "../support/random.ts";
import { TINY_DECODERS, TINY_DELTA, TINY_EXPERTS, TINY_NEOX, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-lora-"));
afterAll(() => rmSync(made, { recursive: true }));

const MODELS: Readonly<Record<string, Json>> = {
  ...TINY_TEXT,
  ...TINY_NEOX,
  ...TINY_DELTA,
  ...TINY_DECODERS,
  ...TINY_EXPERTS,
  qwen3_moe: { ...TINY_EXPERTS.olmoe!, model_type: "qwen3_moe", head_dim: 10, moe_intermediate_size: 12 },
};

const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3, 3, 8, 12, 30, 31, 17, 25, 6);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });

/**
 * Recurrent models have no linear layer beside their head; a `duo_decoder` is a Llama whose small networks nothing
 * reads unless its training draws routes.
 */
const LEFT_OUT = ["gru", "cfc", "duo_decoder"];

test("every language model of the registry with linear layers is here", async () => {
  const found = await Promise.all(
    modelTypes()
      .filter((type) => !LEFT_OUT.includes(type))
      .map(async (type) => ((await architectureOf({ model_type: type }, "m")).task === "causal-lm" ? type : "")),
  );
  const here = new Set(Object.values(MODELS).map((json) => json.model_type));
  expect(found.filter((type) => type !== "" && !here.has(type))).toEqual([]);
});

/** What is adapted when everything is asked for: embeddings, experts in one parameter and routers beside the rest. */
const asked = (names: Iterable<string>): string[] => {
  const all = [...names];
  const some = (end: string) => all.some((name) => new RegExp(`\\.${end}(\\.weight)?$`).test(name));
  const more = [
    "embed_tokens",
    "embed_in",
    "wte",
    "wpe",
    "experts.gate_up_proj",
    "experts.down_proj",
    "router",
    "gate",
  ];
  return ["all-linear", ...more.filter(some)];
};

/** Gradients of the trained parameters after one backward pass, by name. */
async function gradientsOf(model: Model): Promise<Map<string, Float32Array>> {
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const { backward } = objective.record(rec, BATCH, "");
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, BATCH, objective.counted(BATCH, ""), "");
  program.run({ accumulate: 0 });
  const found = new Map<string, Float32Array>();
  for (const { name, gradient, size } of model.trainable()) found.set(name, await gpu.readFloats(gradient, size));
  program.free();
  return found;
}

const close = (found: Float32Array, wanted: Float32Array) => {
  const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
  for (const [i, x] of found.entries()) expect(Math.abs(x - wanted[i]!) / most).toBeLessThan(2e-5);
};

test.each(Object.keys(MODELS))(
  "%s",
  async (name) => {
    const json = MODELS[name]!;
    const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
    const base = join(made, name.replaceAll(" ", "-"));
    const fresh = await Model.fresh(gpu, json, name, { seed: 4 });
    for (const [i, { parameter }] of fresh.stored.entries())
      if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
    await saveModel(fresh, `${base}/`, { files, lineage: [] });
    fresh.free();

    const checkpoint = await open(base);
    const lora = { rank: 3, alpha: 6, targets: asked(checkpoint.tensors.keys()), seed: 1 };
    const model = await Model.load(gpu, checkpoint, { lora });
    for (const [i, { a, b, kind }] of [...loraOf(model).entries.values()].entries()) {
      b.write(normals(i, b.size, 0.1));
      if (kind === "embedding") a.write(normals(i + 500, a.size, 0.1));
    }
    for (const [at, gradient] of await gradientsOf(model)) {
      expect(gradient.every(Number.isFinite)).toBe(true);
      if (!gradient.some((x) => x !== 0)) throw new Error(`${at} takes no gradient`);
    }
    const wanted = await logitsOf(gpu, model, BATCH);
    await saveModel(model, `${base}-adapter/`, { files, lineage: [] });
    model.free();

    const adapter = await openPlain(`${base}-adapter`);
    // Everything with two sides is adapted but the head: a convolution's or a stack's name has no `.weight`.
    const sides = [...checkpoint.tensors.values()].filter(
      ({ name, shape }) => shape.length > 1 && !/((lm_head|embed_out|conv1d)\.weight|_bias)$/.test(name),
    );
    expect(adapter.tensors.size).toBe(2 * sides.length);
    const again = await Model.load(gpu, checkpoint, { lora: { ...lora, from: adapter } });
    expect(await logitsOf(gpu, again, BATCH)).toEqual(wanted);
    again.free();
    const merged = await Model.load(gpu, await applyAdapter(checkpoint, adapter));
    close(await logitsOf(gpu, merged, BATCH), wanted);
    merged.free();
    adapter.close();
    checkpoint.close();
  },
  60_000,
);
