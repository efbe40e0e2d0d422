/** The frame of `compress`: blocks measured behind changed ones, results in order, errors as defined. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { compressModel, type LayerReport, placesOf } from "../../src/compress/compress-model.ts";
import { targetsOf } from "../../src/compress/matrices.ts";
import { defineInputPruner, defineWeightPruner, type Pruner } from "../../src/compress/pruner.ts";
import { denseStorage } from "../../src/compress/storage.ts";
import { collate, type TokenBatch } from "../../src/data/batch.ts";
import { bind } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { BlockPasses } from "../../src/run/calibrating/block-passes.ts";
import { measureGramMatrices } from "../../src/run/gram/gram-matrices.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-compress-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();

const tokens = (rows: readonly (readonly number[])[]): TokenBatch =>
  collate(
    rows.map((ids) => [{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "" }]),
    { pad: 3 },
  );
const BATCHES = [
  tokens([
    [5, 9, 2, 11, 30],
    [7, 1, 14],
  ]),
  tokens([[40, 41, 42, 43, 44, 45, 46]]),
];

/** What a stub saw of one layer. */
interface Seen {
  readonly name: string;
  readonly gram: Float32Array;
  readonly magnitudes: Float32Array;
}

const INFO = { title: "", about: "", cite: "", options: {} } as const;

/** Halves every weight, and keeps what it saw. */
const halving = (seen: Seen[]): Pruner =>
  defineInputPruner({
    ...{ name: "halving", ...INFO },
    async prune({ name, rows, columns, weight, inputs }) {
      const values = await gpu.readFloats(weight.buffer, rows * columns);
      gpu.write(weight.buffer, 0, new Uint8Array(values.map((x) => x / 2).buffer));
      const gram = await gpu.readFloats(inputs.gram.buffer, columns ** 2);
      seen.push({ name, gram, magnitudes: inputs.magnitudes.slice() });
    },
  });

const nothing = defineWeightPruner({ ...{ name: "nothing", ...INFO }, async prune() {} });

async function saved(type: string, json: object): Promise<string> {
  const path = join(folder, `${type}.safetensors`);
  const model = await Model.fresh(gpu, { ...json }, type, { seed: 3 });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, path, { files, lineage: [] });
  model.free();
  return path;
}

/** Compresses a file to another. */
async function run(from: string, to: string, method: Pruner, batches: readonly TokenBatch[], trueSequential = false) {
  const checkpoint = await openPlain(from);
  const model = await Model.load(gpu, checkpoint, { dtype: "f32", freeze: () => true, offload: true });
  const shared = { model, targets: targetsOf(model, {}), storage: denseStorage(undefined), dtype: undefined };
  const reports: LayerReport[] = [];
  const passes = batches.length > 0 ? new BlockPasses(model, batches, signal) : undefined;
  const tensors = [...placesOf(shared).values()].flatMap((places) => places.flatMap(({ infos }) => infos));
  const writer = await createWriter(to, { tensors, files: checkpoint.files, lineage: [] });
  const choices = { prune: { by: bind(method, {}), target: { share: 0.5 } }, measures: true };
  const work = { ...shared, checkpoint, choices, passes, stats: undefined, trueSequential, seed: 0, signal };
  for await (const { name, bytes } of compressModel({
    ...work,
    told: (report) => reports.push(report),
    warn: () => {},
    isWanted: () => true,
  }))
    await writer.write(name, bytes);
  await writer.finish();
  model.free();
  checkpoint.close();
  return reports;
}

async function valuesOf(path: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openPlain(path);
  const found = new Map<string, Float32Array>();
  for (const { name, bytes, dtype, read } of checkpoint.tensors.values()) {
    const stored = new Uint8Array(bytes);
    await read(stored, 0);
    found.set(name, decodeFloats(stored, dtype));
  }
  checkpoint.close();
  return found;
}

/** Gram matrices of a whole model, measured in one pass. */
async function gramsOf(path: string): Promise<Map<string, Float32Array>> {
  const checkpoint = await openPlain(path);
  const model = await Model.load(gpu, checkpoint, { dtype: "f32", freeze: () => true });
  const found = new Map<string, Float32Array>();
  using grams = await measureGramMatrices(model, BATCHES, { signal });
  for (const { name, shape, buffer, start } of grams.matrices()) {
    const sums = await gpu.readFloats(buffer, sizeOf(shape), 4 * start);
    found.set(
      name.replace("@in-first", ""),
      sums.map((sum) => sum * grams.share),
    );
  }
  checkpoint.close();
  model.free();
  return found;
}

const off = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / Math.max(...b.map(Math.abs));

const MODELS = { llama: TINY_TEXT.llama!, gpt2: TINY_TEXT.gpt2!, mixtral: TINY_EXPERTS.mixtral! };

describe.each(Object.entries(MODELS))("%s", (type, json) => {
  test("every block is measured behind those that are changed", async () => {
    const [from, to] = [await saved(type, json), join(folder, `${type}-half.safetensors`)];
    const seen: Seen[] = [];
    const reports = await run(from, to, halving(seen), BATCHES);
    const [before, after, grams] = [await gramsOf(from), await gramsOf(to), await valuesOf(from)];
    const first = seen.filter(({ name }) => /\.0\./.test(name));
    const later = seen.filter(({ name }) => /(layers|h)\.1\./.test(name) && /q_proj|c_attn|k_proj/.test(name));
    expect(first.length * later.length).toBeGreaterThan(0);
    for (const { name, gram } of first.filter(({ name }) => /(layers|h)\.0\./.test(name)))
      if (sizeOf([gram.length]) === before.get(name)?.length) expect(off(gram, before.get(name)!)).toBeLessThan(2e-5);
    for (const { name, gram } of later) {
      expect(off(gram, after.get(name)!)).toBeLessThan(2e-5);
      expect(off(gram, before.get(name)!)).toBeGreaterThan(1e-3);
    }
    expect(reports).toHaveLength(seen.length);
    // Half of every weight is lost, so a quarter of the energy.
    for (const { error } of reports) expect(error === 0 || Math.abs(error - 0.25) < 1e-5).toBeTrue();
    expect(grams.size).toBe((await valuesOf(to)).size);
  });

  test("what stays keeps its bytes, and what is changed is what the method left", async () => {
    const [from, to] = [join(folder, `${type}.safetensors`), join(folder, `${type}-half.safetensors`)];
    const [before, after] = [await valuesOf(from), await valuesOf(to)];
    let halved = 0;
    for (const [name, values] of before) {
      const half = after.get(name)!.every((x, i) => x === values[i]! / 2);
      const same = after.get(name)!.every((x, i) => x === values[i]);
      if (/norm|ln_|embed|wte|wpe|lm_head|bias|gate\.weight/.test(name)) expect([name, same]).toEqual([name, true]);
      else expect([name, half]).toEqual([name, true]);
      halved += Number(half && !same);
    }
    expect(halved).toBeGreaterThan(0);
    const copy = join(folder, `${type}-copy.safetensors`);
    const reports = await run(from, copy, nothing, []);
    expect(reports.every(({ error }) => error === 0)).toBeTrue();
    for (const [name, values] of await valuesOf(copy)) expect(values).toEqual(before.get(name)!);
  });
});

test("in true sequence a layer is measured behind those of its own block", async () => {
  const [from, to] = [join(folder, "llama.safetensors"), join(folder, "llama-true.safetensors")];
  const seen: Seen[] = [];
  await run(from, to, halving(seen), BATCHES, true);
  const after = await gramsOf(to);
  expect(seen).toHaveLength(14);
  for (const { name, gram, magnitudes } of seen) {
    expect(off(gram, after.get(name)!)).toBeLessThan(2e-5);
    // (mean |x|)^2 <= mean x^2
    for (const [i, x] of magnitudes.entries())
      expect(x * x).toBeLessThanOrEqual(gram[i * (magnitudes.length + 1)]! * 1.001);
  }
});
