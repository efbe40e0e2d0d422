/**
 * What holds for every declared type of adapter: a new one leaves the model as it is; each gradient is the slope of the
 * loss, its own terms included; what is written reads to the same bytes of logits; what it folds to runs as it does;
 * its tensors are all that it holds on the GPU.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../../src/checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { open, openPlain } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { UserError } from "../../../src/errors.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethods } from "../../../src/method/registry.ts";
import type { AdapterType } from "../../../src/model/adapters/contract.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { fillAdapterLosses, withAdapterLosses } from "../../../src/run/training/adapter-losses.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-adapters-"));
afterAll(() => rmSync(made, { recursive: true }));

const MODELS = ["llama with llama3 scaling and biases", "gpt2"];

/** Settings for matrices of 24 and 40 columns, where the defaults are for large ones. */
const SMALL: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  boft: { boft_n_butterfly_factor: 2 },
  bottleneck: { bottleneck: 5 },
  "hyper-kernel": { hyper_code: 5 },
  loha: { adapter_rank: 3 },
  "lora-triplet": { adapter_rank: 3, triplet_nuisance: 2 },
  oft: { oft_block_size: 7 },
  lokr: { adapter_rank: 2 },
  l2m: { adapter_rank: 3, l2m_slots: 3 },
  // With fewer that count, the router's gradient is that of all of them, and differences see only those taken.
  "lora-mixer": { adapter_rank: 3, mixer_experts: 2 },
  mhr: { adapter_rank: 2, poly_skills: 3, poly_splits: 4, poly_tasks: 2 },
  mixda: { mixda_gate: 4 },
  poly: { adapter_rank: 3, poly_skills: 2, poly_tasks: 2 },
  // Which ranks count is held constant by the gradient, and differences see it change.
  mora: { adapter_rank: 4, mora_active: 4, mora_threshold: -1 },
  "prefix-tuning": { virtual_tokens: 3, prefix_std: 0.5 },
  "prompt-tuning": { virtual_tokens: 3 },
  qfa: { adapter_rank: 3, qfa_group: 16, qfa_mean: 2.5 },
  sherl: { sherl_dropout: 0, sherl_gate: 0.05 },
  staged: { adapter_rank: 3, staged_stages: 2 },
  vera: { adapter_rank: 7 },
};

/** What is added to parameters so that the loss has a slope: sherl's shares of what is above 0 jump at 0. */
const offsetOf = (name: string): number =>
  name === "sherl.weigh.bias" ? 20 : /^sherl\.\d+\.norm\.offset$/.test(name) ? 2 : 0;

/** Types that need deeper models than the others are tried on. */
const LAYERS: Readonly<Record<string, number>> = { sherl: 4 };

/** Types that begin as another model than the base. */
const CHANGES_AT_FIRST = new Set(["prefix-tuning", "prompt-tuning", "sherl", "qfa"]);

const BATCH = collate(
  [
    [1, 5, 7, 2, 9, 36, 0, 3, 3, 12, 30],
    [4, 8, 15, 16, 23, 30, 4, 8, 15, 2, 2],
  ].map((row, i) => [{ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }]),
  { buckets: "none" },
);

/** Types that are for no model of text, and where they are tried. */
const ELSEWHERE = new Set(["control"]); // test/adapt/nct.test.ts
const types = (await loadMethods("adapter")).filter(({ name, format }) => format !== undefined && !ELSEWHERE.has(name));
const bases = new Map<string, Checkpoint>();

/** A base whose norms and biases are as no new model has them, and of so many layers. */
async function baseOf(name: string, layers = 2): Promise<Checkpoint> {
  const at = join(made, `${name.replaceAll(" ", "-")}-${layers}`);
  const known = bases.get(at);
  if (known) return known;
  const json = { ...TINY_TEXT[name]!, ...(name === "gpt2" ? { n_layer: layers } : { num_hidden_layers: layers }) };
  const fresh = await Model.fresh(gpu, json, name, { seed: 4 });
  for (const [i, { parameter }] of fresh.stored.entries())
    if (parameter.shape.length === 1)
      parameter.write(normals(i, parameter.size, 0.3, /norm|ln_/.test(parameter.name) ? 1 : 0));
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(fresh, `${at}/`, { files, lineage: [] });
  fresh.free();
  const opened = await open(at);
  bases.set(at, opened);
  return opened;
}

/** Types that are tried with other settings, too: some blocks are cut, and some are not. */
const VARIANTS = [["oft", MODELS[0]!, { oft_constrained: true, oft_eps: 1.1 }]] as const;

type More = Readonly<Record<string, unknown>>;

const choiceOf = (type: AdapterType, more: More) => ({
  type: bindDefaults(type, { ...SMALL[type.name], ...more }),
  ...{ seed: 1, base: "base" },
});

/** The model with a new adapter; undefined where the type has no form for the base. */
async function adapted(type: AdapterType, base: Checkpoint, more: More): Promise<Model | undefined> {
  try {
    return await Model.load(gpu, base, { adapter: choiceOf(type, more) });
  } catch (error) {
    if (error instanceof UserError && error.message.includes("stored (in, out)")) return undefined;
    throw error;
  }
}

/** The loss, and with `backward` the gradients of it. */
async function lossProgram(model: Model, backward: boolean): Promise<Program> {
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const recorded = withAdapterLosses(rec, objective.record(rec, BATCH, ""));
  rec.output("loss", recorded.metrics.loss!);
  if (backward) rec.backward(recorded.backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, BATCH, objective.counted(BATCH, ""), "");
  fillAdapterLosses(program, 1);
  return program;
}

/** Throws where a gradient is not the slope of the loss along it. */
async function checkGradients(model: Model): Promise<void> {
  const trained = await lossProgram(model, true);
  trained.run({ accumulate: 0 });
  const program = await lossProgram(model, false);
  const lossAt = async () => {
    program.run();
    return (await program.read("loss"))[0]!;
  };
  for (const parameter of model.trainable()) {
    const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    const length = Math.hypot(...gradient);
    expect(length).toBeGreaterThan(0);
    const moved = async (by: number) => {
      parameter.write(values.map((x, i) => x + (by * gradient[i]!) / length));
      return lossAt();
    };
    const step = Math.min(0.01, 0.003 / length);
    const slope = ((await moved(step)) - (await moved(-step))) / (2 * step);
    parameter.write(values);
    const error = Math.abs(slope - length) / Math.max(length, 0.02);
    if (!(error < 0.015)) throw new Error(`${parameter.name}: ${length} by the gradient, ${slope} by differences`);
  }
  trained.free();
  program.free();
}

const close = (found: Float32Array, wanted: Float32Array, tolerance: number) => {
  const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
  for (const [i, x] of found.entries()) expect(Math.abs(x - wanted[i]!) / most).toBeLessThan(tolerance);
};

test.each([...types.flatMap(({ name }) => MODELS.map((base) => [name, base, {}] as const)), ...VARIANTS])(
  "%s on %s with %j",
  async (name, ref, more) => {
    const type = types.find((one) => one.name === name)!;
    const base = await baseOf(ref, LAYERS[name]);
    const plain = await Model.load(gpu, base);
    const before = await logitsOf(gpu, plain, BATCH);
    plain.free();
    gpu.pool.trim();
    const empty = gpu.pool.allocated;
    const model = await adapted(type, base, more);
    if (!model) return;

    const held = [...model.parameters.values(), ...model.adapter!.tensors()];
    const bytes = held.reduce((sum, { bytes: own }) => sum + own, 0);
    const rounded = held.reduce((sum, { bytes: own }) => sum + Math.max(256, 2 ** Math.ceil(Math.log2(own))), 0);
    const allocated = gpu.pool.allocated - empty;
    expect([allocated >= bytes, allocated <= rounded]).toEqual([true, true]);

    if (!CHANGES_AT_FIRST.has(name)) close(await logitsOf(gpu, model, BATCH), before, 2e-5);
    for (const [i, parameter] of model.trainable().entries()) {
      const values = await gpu.readFloats(parameter.buffer, parameter.size);
      const noise = normals(i, parameter.size, 0.1);
      parameter.write(values.map((x, at) => x + noise[at]! + offsetOf(parameter.name)));
    }
    await checkGradients(model);
    const wanted = await logitsOf(gpu, model, BATCH);
    expect(wanted.every((x, i) => Math.abs(x - before[i]!) < 1e-6)).toBe(false);
    const at = join(made, `${name}-${MODELS.indexOf(ref)}-${Object.keys(more).length}`);
    // As a training goes on from: a type may have another result.
    await saveModel(model, `${at}/`, { files: new Map(), lineage: [], dtype: "held" });
    model.free();

    const adapter = await openPlain(at);
    const again = await Model.load(gpu, base, { adapter: { ...choiceOf(type, more), from: adapter } });
    expect(await logitsOf(gpu, again, BATCH)).toEqual(wanted);
    expect(JSON.parse(again.adapter!.config).peft_type).toBe(type.peftType);
    again.free();
    const folds = type.format!.fold !== undefined;
    const why = type.format!.ahead ? "stands before every sequence" : "whose change depends on the input";
    if (!folds) await expect(applyAdapter(base, adapter)).rejects.toThrow(why);
    const merged = await Model.load(gpu, await applyAdapter(base, adapter, { live: true }));
    expect(merged.adapter === undefined).toBe(folds);
    const found = await logitsOf(gpu, merged, BATCH);
    if (folds) close(found, wanted, 5e-5);
    else expect(found).toEqual(wanted);
    merged.free();
    adapter.close();
  },
  60_000,
);
