/**
 * Qwen3-Next and Qwen3.5 against float64, token by token: logits of rows that hold several documents, and an entry of
 * every weight's gradient by central differences; and the way from config to file, adapter and back.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import type { DeltaNetConfig } from "../../src/model/blocks/delta-net.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { logitsOf } from "../golden/formats/train.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { wrapModel } from "../support/multimodal.ts";
import { normals, randomWords } from "../support/random.ts";
import { TINY_DELTA } from "../support/tiny-models.ts";
import { deltaNetLogits } from "./delta-net-reference.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-delta-"));
afterAll(() => rmSync(made, { recursive: true }));

const STEP = 1e-5;

const words = randomWords(3);
const document = (length: number) => Int32Array.from({ length }, () => words() % 50);
/** Two rows: three documents and padding, and one document that is longer than a chunk. */
const BINS = [[document(5), document(1), document(20)], [document(67)]];
const BATCH = collate(
  BINS.map((bin) => bin.map((ids) => ({ ids, labels: ids, group: 0, place: "0" }))),
  { buckets: "none" },
);

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A new model, with vectors moved off ones and zeros, where mistakes would hide. */
async function fresh(json: Json): Promise<Model> {
  const model = await Model.fresh(gpu, json, "m", { seed: 4 });
  for (const [i, { parameter, name }] of model.stored.entries()) {
    if (parameter.shape.length === 1 && !name.endsWith("A_log"))
      parameter.write(normals(i, parameter.size, 0.3, name.endsWith("linear_attn.norm.weight") ? 1 : 0));
    if (name.endsWith("A_log")) parameter.write(normals(i, parameter.size, 1, -1));
  }
  return model;
}

type Weights = Map<string, Float64Array<ArrayBuffer>>;

async function weightsOf(model: Model): Promise<Weights> {
  const weights: Weights = new Map();
  for (const { name, parameter, start, shape } of model.stored)
    weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, size(shape), 4 * start)));
  return weights;
}

/** Mean loss of all tokens but the first of each document, and which experts they take. */
function lossOf(json: Json, weights: Weights): { readonly loss: number; readonly choices: string } {
  const choices: number[] = [];
  const losses = BINS.flat().flatMap((ids) =>
    deltaNetLogits(json, weights, [...ids], (experts) => choices.push(...experts))
      .slice(0, -1)
      .map((row, i) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[ids[i + 1]!]!),
  );
  return { loss: losses.reduce((a, b) => a + b, 0) / losses.length, choices: choices.join() };
}

/** Loss and gradients of every stored tensor. */
async function trained(model: Model, recompute: boolean) {
  const objective = crossEntropyObjective(model, { recompute });
  const rec = new Recorder(profileOf(gpu));
  const { backward } = objective.record(rec, BATCH, "");
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, BATCH, objective.counted(BATCH, ""), "");
  program.run({ accumulate: 0 });
  const found = new Map<string, Float32Array>();
  for (const { name, parameter, start, shape } of model.stored)
    found.set(name, await gpu.readFloats(parameter.gradient, size(shape), 4 * start));
  program.free();
  return found;
}

describe.each(Object.entries(TINY_DELTA))("%s", (name, json) => {
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);

  test("logits of packed rows are those of each document alone", async () => {
    const model = await fresh(json);
    const weights = await weightsOf(model);
    const found = await logitsOf(gpu, model, BATCH);
    const v = model.sizes.outputs;
    for (const { sequence, row, start } of BATCH.documents) {
      const wanted = deltaNetLogits(json, weights, [...sequence.ids]).flatMap((x) => [...x]);
      const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
      const own = found.subarray((row * BATCH.length + start) * v);
      const error = wanted.reduce((a, x, i) => Math.max(a, Math.abs(x - own[i]!)), 0) / most;
      expect(error).toBeLessThan(3e-5);
    }
    expect(found.every(Number.isFinite)).toBeTrue();
    model.free();
  }, 120_000);

  test("gradients, the same where activations are recomputed", async () => {
    const model = await fresh(json);
    const weights = await weightsOf(model);
    const found = await trained(model, false);
    expect(await trained(model, true)).toEqual(found);
    const { choices } = lossOf(json, weights);
    const lossAt = (values: Float64Array, i: number, value: number): number => {
      values[i] = value;
      const found = lossOf(json, weights);
      expect(found.choices === choices).toBeTrue(); // else the loss is not smooth here
      return found.loss;
    };
    const word = randomWords(7);
    for (const [tensor, gradient] of found) {
      const values = weights.get(tensor)!;
      const most = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const i = word() % values.length;
      const kept = values[i]!;
      const exact = (lossAt(values, i, kept + STEP) - lossAt(values, i, kept - STEP)) / (2 * STEP);
      values[i] = kept;
      const error = Math.abs(gradient[i]! - exact) / Math.max(most, 1e-3); // some are zero but for rounding
      if (!(error < 1e-4))
        throw new Error(`${tensor}[${i}]: gradient ${gradient[i]}, by differences ${exact}, largest ${most}`);
    }
    model.free();
  }, 120_000);

  test("what is written of a new model says what was read", async () => {
    const { architecture, config } = await describeConfig(json, "m");
    const implied = { model_type: json.model_type, ...architecture.implied!(config) };
    const again = await describeConfig(implied, "m");
    expect(again.config).toEqual(config);
  });

  test("saved whole or in shards and loaded it gives the same logits", async () => {
    const model = await fresh(json);
    const wanted = await logitsOf(gpu, model, BATCH);
    const names = model.stored.map(({ name }) => name).sort();
    for (const shardBytes of [undefined, 4096]) {
      const target = join(made, `${name}-${shardBytes}`);
      await saveModel(model, `${target}/`, { files, lineage: [], ...(shardBytes ? { shardBytes } : {}) });
      const checkpoint = await open(target);
      expect([...checkpoint.tensors.keys()].sort()).toEqual(names);
      const again = await Model.load(gpu, checkpoint);
      expect(await logitsOf(gpu, again, BATCH)).toEqual(wanted);
      again.free();
      checkpoint.close();
    }
    model.free();
  });

  test("an adapter of all linear layers merges to what it computed", async () => {
    const base = join(made, `${name}-base`);
    const model = await fresh(json);
    await saveModel(model, `${base}/`, { files, lineage: [] });
    const linears = [...model.parameters.keys()].filter(
      (key) => /(_proj|in_proj_\w+)\.weight$/.test(key) && !key.includes(".experts."),
    );
    model.free();
    const checkpoint = await open(base);
    const adapted = await Model.load(gpu, checkpoint, { lora: { rank: 3, alpha: 6, seed: 1 } });
    expect([...loraOf(adapted).entries.keys()].map((key) => `${key}.weight`).sort()).toEqual(linears.sort());
    for (const [i, { b }] of [...loraOf(adapted).entries.values()].entries()) b.write(normals(i, b.size, 0.1));
    const wanted = await logitsOf(gpu, adapted, BATCH);
    await saveModel(adapted, `${base}-adapter/`, { files, lineage: [] });
    adapted.free();
    const adapter = await openPlain(`${base}-adapter`);
    const merged = await Model.load(gpu, await applyAdapter(checkpoint, adapter));
    const found = await logitsOf(gpu, merged, BATCH);
    const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
    for (const [i, x] of found.entries()) expect(Math.abs(x - wanted[i]!) / most).toBeLessThan(3e-5);
    merged.free();
    adapter.close();
    checkpoint.close();
  });
});

test("the text part of a model of several parts runs as the plain model", async () => {
  const json = TINY_DELTA.qwen3_5_text!;
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  const model = await fresh(json);
  const wanted = await logitsOf(gpu, model, BATCH);
  const plain = join(made, "plain");
  await saveModel(model, `${plain}/`, { files, lineage: [] });
  model.free();
  const wrapped = join(made, "wrapped");
  const rope = { rope_type: "default", mrope_interleaved: true, mrope_section: [1, 1, 0], rope_theta: 1e4 };
  await wrapModel(plain, `${wrapped}/`, "model.language_model", ({ model_type: _, rope_theta: __, ...text }) => ({
    model_type: "qwen3_5",
    text_config: { ...text, rope_parameters: { ...rope, partial_rotary_factor: 0.5 } },
  }));
  const checkpoint = await open(wrapped);
  const part = await Model.load(gpu, checkpoint);
  expect(await logitsOf(gpu, part, BATCH)).toEqual(wanted);
  part.free();
  checkpoint.close();
});

test("layers are told by their interval too, and positions in newer keys", async () => {
  const { layer_types: _, rope_theta, partial_rotary_factor, ...json } = TINY_DELTA.qwen3_next!;
  const config = async (change: Json) => (await describeConfig({ ...json, ...change }, "m")).config as DeltaNetConfig;
  const rope = { rope_theta, partial_rotary_factor };
  const types = (interval: number) => config({ ...rope, full_attention_interval: interval }).then((c) => c.delta.types);
  const [linear, full] = ["linear_attention", "full_attention"] as const;
  expect(await types(2)).toEqual([linear, full, linear]);
  expect(await types(4)).toEqual([linear, linear, linear]);
  expect(await config({ rope_parameters: { rope_type: "default", ...rope } })).toEqual(await config(rope));
});

test("what cannot be or is not implemented is refused", async () => {
  const refused = (change: Json, name = "qwen3_next") => describeConfig({ ...TINY_DELTA[name]!, ...change }, "m");
  await expect(refused({ linear_num_value_heads: 5 })).rejects.toThrow(
    "m: config.json: 5 heads (linear_num_value_heads) cannot share 2 of keys (linear_num_key_heads)",
  );
  await expect(refused({ layer_types: ["linear_attention"] })).rejects.toThrow(
    "layer_types has 1 entries for 3 layers",
  );
  await expect(refused({ layer_types: ["mamba", "mamba", "mamba"] })).rejects.toThrow("layer_types must be a list of");
  await expect(refused({ attn_output_gate: false })).rejects.toThrow("attn_output_gate must be true here");
  await expect(refused({ norm_topk_prob: false }, "qwen3_5_moe_text")).rejects.toThrow("norm_topk_prob must be true");
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(TINY_DELTA.qwen3_next))]]);
  const model = await fresh(TINY_DELTA.qwen3_next!);
  const saved = saveModel(model, join(made, "model.gguf"), { files, lineage: [] });
  await expect(saved).rejects.toThrow("a GGUF file is not made of models of type qwen3_next here");
  model.free();
});
