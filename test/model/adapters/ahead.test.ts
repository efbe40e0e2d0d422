/**
 * Virtual tokens: those that stand for tokens of the vocabulary make the model that reads these first, and their keys
 * and values do so as a prefix; with a cache as without one.
 */
import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { CacheMemory } from "../../../src/model/cache-memory.ts";
import { Model } from "../../../src/model/model.ts";
import { Decoder } from "../../../src/run/generating/decoder.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_DECODERS, TINY_DELTA, TINY_EXPERTS, TINY_NEOX, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const prompt = await loadMethod("adapter", "prompt-tuning");
const prefix = await loadMethod("adapter", "prefix-tuning");
const VIRTUAL = [3, 11, 3, 7];
const ROWS = [
  [1, 5, 7, 2, 9],
  [4, 8, 15, 16, 2],
];
const ALL: Readonly<Record<string, Json>> = {
  ...TINY_TEXT,
  ...TINY_DECODERS,
  ...TINY_NEOX,
  ...TINY_EXPERTS,
  ...TINY_DELTA,
};

const batchOf = (rows: readonly (readonly number[])[]) =>
  collate(
    rows.map((row, i) => [
      { ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `row ${i + 1}` },
    ]),
    { buckets: "none" },
  );

/** A model with an adapter whose norms and biases are as no new model has them. */
async function tuned(json: Json, type: typeof prompt, tokens = VIRTUAL.length): Promise<Model> {
  const values = bindDefaults(type, { virtual_tokens: tokens });
  const model = await Model.fresh(gpu, json, "tiny", { seed: 4, adapter: { type: values, seed: 1 } });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1)
      parameter.write(normals(i, parameter.size, 0.2, /norm|ln_/.test(parameter.name) ? 1 : 0));
  return model;
}

/** Rows of the embedding, with what the model scales them by where the scale is of the table. */
async function embedded(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const table = [...model.parameters.values()].find(({ shape }) => shape[0] === model.sizes.outputs)!;
  const { width } = model.sizes;
  const values = await gpu.readFloats(table.buffer, table.size);
  const factor = model.json.model_type === "gemma3_text" ? Math.sqrt(width) : 1;
  return Float32Array.from({ length: ids.length * width }, (_, i) => {
    const at = ids[Math.floor(i / width)]! * width + (i % width);
    return factor * values[at]!;
  });
}

const close = (found: Float32Array, wanted: Float32Array, tolerance = 3e-5) => {
  const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
  expect(found.length).toBe(wanted.length);
  for (const [i, x] of found.entries()) expect(Math.abs(x - wanted[i]!) / most).toBeLessThan(tolerance);
};

/** Logits of the tokens after the first `from` of each row. */
const after = (logits: Float32Array, rows: number, from: number): Float32Array => {
  const size = logits.length / rows;
  const each = (from * size) / (from + ROWS[0]!.length);
  return Float32Array.from(
    Array.from({ length: rows }, (_, i) => [...logits.subarray(i * size + each, (i + 1) * size)]).flat(),
  );
};

const takes = async (json: Json): Promise<boolean> => {
  const model = await Model.fresh(gpu, json, "tiny", { seed: 4 });
  const { attention, recurrent, turnsAnewBeyond } = model.sizes;
  model.free();
  return attention !== undefined && !recurrent && turnsAnewBeyond === undefined;
};

test.each(Object.keys(ALL))("virtual tokens of %s", async (name) => {
  const json = ALL[name]!;
  if (!(await takes(json))) {
    await expect(tuned(json, prompt)).rejects.toThrow(/virtual tokens/);
    return;
  }
  const model = await tuned(json, prompt);
  const [rows] = model.adapter!.tensors();
  rows!.write(await embedded(model, VIRTUAL));
  const base = await model.frozenCopy();
  const wanted = after(await logitsOf(gpu, base, batchOf(ROWS.map((row) => [...VIRTUAL, ...row]))), 2, VIRTUAL.length);
  const found = await logitsOf(gpu, model, batchOf(ROWS));
  close(found, wanted);

  // With a cache, all at once and token by token.
  const decoder = new Decoder(model, "tiny");
  const begun = ROWS.map((row) => row.slice(0, 3));
  const names = ["one", "two"];
  const steps = [await decoder.read(begun, { most: 8, names })];
  for (const length of [4, 5])
    steps.push(
      await decoder.next(
        ROWS.map((row) => row.slice(0, length)),
        new Set([0, 1]),
      ),
    );
  const { outputs } = model.sizes;
  for (const [i, logits] of steps.entries()) {
    const place = (row: number) => (row * ROWS[0]!.length + 2 + i) * outputs;
    close(logits, Float32Array.from([0, 1].flatMap((row) => [...wanted.subarray(place(row), place(row) + outputs)])));
  }
  decoder.free();

  // The keys and values that the virtual tokens have, as a prefix.
  const memory = new CacheMemory(1, 4);
  const rec = new Recorder(profileOf(gpu), { training: false });
  model.recordAhead(rec, model.cache(rec, memory));
  const program = await Program.compile(gpu, rec);
  program.run();
  const { layers, attention } = model.sizes;
  const width = attention!.kvHeads * attention!.headDim;
  const second = await tuned(json, prefix);
  const [table] = second.adapter!.tensors();
  const values = new Float32Array(table!.size);
  for (let layer = 0; layer < layers; layer++) {
    const { keys, values: own } = memory.layer(gpu, layer, 0);
    for (const [part, buffer] of [keys, own].entries()) {
      const held = await gpu.readFloats(buffer, VIRTUAL.length * width);
      for (let i = 0; i < VIRTUAL.length; i++)
        values.set(held.subarray(i * width, (i + 1) * width), (i * 2 * layers + 2 * layer + part) * width);
    }
  }
  table!.write(values);
  close(await logitsOf(gpu, second, batchOf(ROWS)), wanted);
  program.free();
  memory.free();
  second.free();
  base.free();
  model.free();
});

test.each([prompt, prefix])("gradients of $name are the same where activations are computed again", async (type) => {
  const model = await tuned(TINY_TEXT["llama with llama3 scaling and biases"]!, type);
  const batch = batchOf(ROWS);
  const [parameter] = model.trainable();
  const gradientOf = async (recompute: boolean) => {
    const objective = crossEntropyObjective(model, recompute ? { recompute } : {});
    const rec = new Recorder(profileOf(gpu));
    rec.backward(objective.record(rec, batch, "").backward);
    const program = await Program.compile(gpu, rec);
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0 });
    const found = await gpu.readFloats(parameter!.gradient, parameter!.size);
    program.free();
    return found;
  };
  const plain = await gradientOf(false);
  expect(Math.hypot(...plain)).toBeGreaterThan(0);
  expect(await gradientOf(true)).toEqual(plain);
  model.free();
});

test("packed rows and too many tokens are refused, and positions are fewer", async () => {
  const json = TINY_TEXT.gpt2!;
  const model = await tuned(json, prompt);
  const base = await model.frozenCopy();
  expect(base.sizes.maxPositions - model.sizes.maxPositions).toBe(VIRTUAL.length);
  const [one, two] = batchOf(ROWS).documents.map(({ sequence }) => sequence);
  await expect(logitsOf(gpu, model, collate([[one!, two!]]))).rejects.toThrow("packed into a row");
  await expect(tuned(json, prompt, base.sizes.maxPositions)).rejects.toThrow("leave no room");
  base.free();
  model.free();
});

test("prompts begin as rows of the embedding, drawn by the seed", async () => {
  const model = await tuned(TINY_TEXT.gpt2!, prompt, 6);
  const [rows] = model.adapter!.tensors();
  const drawn = await gpu.readFloats(rows!.buffer, rows!.size);
  const { width, outputs } = model.sizes;
  const all = await embedded(model, [...Array(outputs).keys()]);
  const found = Array.from({ length: 6 }, (_, i) =>
    [...Array(outputs).keys()].find((id) =>
      drawn.subarray(i * width, (i + 1) * width).every((x, c) => x === all[id * width + c]),
    ),
  );
  expect(found.every((id) => id !== undefined)).toBe(true);
  expect(new Set(found).size).toBeGreaterThan(2);
  model.free();
});
