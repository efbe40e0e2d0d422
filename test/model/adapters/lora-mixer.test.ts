/** LoRA-Mixer: LoRA as its limit, adapters as experts, its losses in float64, and three tasks that it tells apart. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { collate, type TokenBatch } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { liveChoice } from "../../../src/model/adapters/from-file.ts";
import { loraChoice } from "../../../src/model/adapters/lora/type.ts";
import { method, straightThrough } from "../../../src/model/adapters/methods/lora-mixer.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { linear } from "../../../src/tensor/ops/linear.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { meanLoss, trainOn } from "../../support/adapter-training.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { runOp } from "../../support/program.ts";
import { normals, randomUnits } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-mixer-"));
afterAll(() => rmSync(made, { recursive: true }));

const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 4, 8);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });

const freshModel = (values: Readonly<Record<string, unknown>>, json = TINY_TEXT.llama!) =>
  Model.fresh(gpu, json, "model", { seed: 3, adapter: { type: bindDefaults(method, values), seed: 1 } });

const gap = (found: Float32Array, wanted: Float32Array) =>
  found.reduce((most, x, i) => Math.max(most, Math.abs(x - wanted[i]!)), 0) /
  wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

test.each(["llama", "gpt2"])("one expert is LoRA, on %s", async (name) => {
  const json = TINY_TEXT[name]!;
  const lora = await Model.fresh(gpu, json, "model", {
    seed: 3,
    adapter: loraChoice({ rank: 3, alpha: 5, seed: 1, targets: undefined }),
  });
  const mixer = await freshModel({ adapter_rank: 3, adapter_alpha: 5, mixer_experts: 1 }, json);
  const own = new Map(mixer.trainable().map((parameter) => [parameter.name, parameter]));
  for (const [i, factor] of lora.trainable().entries()) {
    const values = normals(i, factor.size, 0.3);
    factor.write(values);
    const [rows = 0, columns = 0] = factor.shape;
    const isA = factor.name.includes("lora_A");
    const turned = values.map((_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!);
    own.get(factor.name.replace(/lora_([AB]).*/, "lora_mixer_$1"))!.write(isA ? values : turned);
  }
  expect(gap(await logitsOf(gpu, mixer, BATCH), await logitsOf(gpu, lora, BATCH))).toBeLessThan(1e-5);
  mixer.free();
  lora.free();
});

test("adapters as experts: one alone is that adapter, and the router alone is trained", async () => {
  const json = TINY_TEXT.llama!;
  const wanted: Float32Array[] = [];
  const refs: string[] = [];
  for (const [i, targets] of [
    ["q_proj", "down_proj"],
    ["q_proj", "up_proj"],
  ].entries()) {
    const model = await Model.fresh(gpu, json, "model", {
      seed: 3,
      adapter: loraChoice({ rank: 2 + i, alpha: 3, rslora: i === 1, seed: i, targets }),
    });
    for (const [k, factor] of model.trainable().entries()) factor.write(normals(10 * i + k, factor.size, 0.3));
    wanted.push(await logitsOf(gpu, model, BATCH));
    refs.push(join(made, `expert-${i}`));
    await saveModel(model, `${refs[i]}/`, { files: new Map(), lineage: [] });
    model.free();
  }
  expect(gap(wanted[0]!, wanted[1]!)).toBeGreaterThan(0.01);
  const model = await freshModel({ experts: [refs.join(",")] });
  const mixed = join(made, "mixed");
  await saveModel(model, `${mixed}/`, { files: new Map(), lineage: [] });
  for (const [i, logits] of wanted.entries()) {
    const config = { ...JSON.parse(model.adapter!.config), mixer_expert: i };
    writeFileSync(join(mixed, "adapter_config.json"), JSON.stringify(config));
    const from = await openPlain(mixed);
    const one = await Model.fresh(gpu, json, "model", { seed: 3, adapter: { ...(await liveChoice(from)), from } });
    expect(gap(await logitsOf(gpu, one, BATCH), logits)).toBeLessThan(2e-5);
    one.free();
    from.close();
  }
  expect(model.trainable().map(({ shape, name }) => [name.split(".").at(-1)!, shape[0]!])).toEqual(
    Array.from({ length: 6 }, () => ["lora_mixer_router", 2]),
  );
  expect(JSON.parse(model.adapter!.config)).toMatchObject({ experts: refs, mixer_experts: 2, r: 3, alpha: 3 });
  model.free();
  await expect(freshModel({ experts: [refs[0]!, made] })).rejects.toThrow(made);
});

test.each([
  [{ experts: ["a"], adapter_rank: 4 }, "--adapter-rank has no effect with --experts"],
  [{ experts: ["a"], mixer_experts: 2 }, "--mixer-experts has no effect with --experts"],
  [{ experts: ["a"], mixer_hard_steps: 2 }, "--experts keeps them as they are"],
  [{ experts: ["a"], mixer_expert: 0 }, "with --mixer-expert nothing asks it"],
  [{ mixer_expert: 0, mixer_hard_steps: 2 }, "takes one for all tokens"],
])("settings without an effect are refused: %o", async (values, message) => {
  await expect(freshModel(values)).rejects.toThrow(message);
});

test("weights are those of the likeliest, their gradient that of all", async () => {
  const logits = normals(5, 7 * 4, 2);
  const dy = normals(6, 7 * 4);
  const found = await runOp(gpu, {
    inputs: { logits: { shape: [7, 4], data: logits, grad: true } },
    build: (rec, x) => straightThrough(rec, x.logits!, 2),
    seeds: { y: dy },
  });
  for (let row = 0; row < 7; row++) {
    const own = [...logits.subarray(4 * row, 4 * row + 4)];
    const total = own.reduce((sum, x) => sum + Math.exp(x), 0);
    const likely = own.map((x) => Math.exp(x) / total);
    const second = likely.toSorted((a, b) => b - a)[1]!;
    const taken = likely.map((p) => (p >= second ? p : 0));
    const sum = taken.reduce((a, b) => a + b);
    const along = likely.reduce((all, p, i) => all + p * dy[4 * row + i]!, 0);
    for (let i = 0; i < 4; i++) {
      expect(found.outputs.y![4 * row + i]!).toBeCloseTo(taken[i]! / sum, 5);
      expect(found.gradients.logits![4 * row + i]!).toBeCloseTo(likely[i]! * (dy[4 * row + i]! - along), 5);
    }
  }
});

/** Router logits of every adapted layer, by row of the batch. */
async function routerLogits(model: Model, batch: TokenBatch): Promise<Float32Array[]> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const routers = new Map(
    model.adapter!.tensors().flatMap((one) => {
      const module = /^base_model\.model\.(.*)\.lora_mixer_router$/.exec(one.name)?.[1];
      return module ? [[module, one] as const] : [];
    }),
  );
  const { hidden } = model.record(rec, recordInputs(rec, batch), {
    observe(module, x) {
      const router = routers.get(module);
      if (router) rec.output(module, linear(rec, x, rec.parameter(router)));
    },
  });
  rec.output("hidden", hidden);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const found: Float32Array[] = [];
  for (const module of routers.keys()) found.push((await program.read(module)) as Float32Array);
  program.free();
  return found;
}

test("a step's loss has the router's losses, over tokens that are not padding", async () => {
  const rows = [IDS, Int32Array.of(3, 9, 4)].map((ids) => [{ ids, labels: ids, group: 0, place: "" }]);
  const batch = collate(rows, { buckets: "none" });
  const weights = { mixer_balance: 0.3, mixer_entropy: 0.2 };
  const model = await freshModel({ adapter_rank: 2, mixer_experts: 3, ...weights });
  for (const [i, one] of model.trainable().entries()) one.write(normals(i, one.size, 0.3));
  const tokens = Array.from({ length: 16 }, (_, i) => i).filter((i) => i < 8 || i < 11);
  const wanted = { balance: 0, entropy: 0, load: 0 };
  const layers = await routerLogits(model, batch);
  for (const logits of layers) {
    const [chosen, likely] = [
      [0, 0, 0],
      [0, 0, 0],
    ];
    for (const token of tokens) {
      const own = [...logits.subarray(3 * token, 3 * token + 3)];
      const total = own.reduce((sum, x) => sum + Math.exp(x), 0);
      chosen[own.indexOf(Math.max(...own))]! += 1 / tokens.length;
      for (const [i, x] of own.entries()) {
        const p = Math.exp(x) / total;
        likely[i]! += p / tokens.length;
        wanted.entropy -= (p * Math.log(p)) / tokens.length / layers.length;
      }
    }
    wanted.balance += (3 * chosen.reduce((sum, f, i) => sum + f * likely[i]!, 0)) / layers.length;
    wanted.load += Math.max(...chosen) / layers.length;
  }
  const [with_] = await trainOn(model, [batch], { steps: 1, lr: 0 });
  const [twice] = await trainOn(model, [batch], { steps: 1, lr: 0, micro: 2 });
  for (const [name, value] of Object.entries(with_!)) expect(twice![name]!).toBeCloseTo(value, 5);
  const [apart] = await trainOn(model, [batch], { steps: 1, lr: 0, parts: ["forget", "retain"] });
  for (const name of ["router_balance", "router_entropy", "router_load"] as const)
    expect(apart![name]!).toBeCloseTo(with_![name]!, 5);
  model.free();
  const plain = await freshModel({ adapter_rank: 2, mixer_experts: 3, mixer_balance: 0, mixer_entropy: 0 });
  for (const [i, one] of plain.trainable().entries()) one.write(normals(i, one.size, 0.3));
  const [without] = await trainOn(plain, [batch], { steps: 1, lr: 0 });
  plain.free();
  expect(with_!.router_balance).toBeCloseTo(wanted.balance, 4);
  expect(with_!.router_entropy).toBeCloseTo(wanted.entropy, 4);
  expect(with_!.router_load).toBeCloseTo(wanted.load, 5);
  expect(with_!.loss! - without!.loss!).toBeCloseTo(0.3 * wanted.balance + 0.2 * wanted.entropy, 4);
});

const TASKS = 3;
const OWN = 8; // tokens of a task
const LENGTH = 12;
const HARD = 40;
const SMALL = { ...TINY_TEXT.llama!, num_hidden_layers: 1 };

/** Rows of a task: each token's successor is fixed, in a way of the task's own. */
function rowsOf(task: number, count: number, seed: number): Int32Array[] {
  const unit = randomUnits(seed + 100 * task);
  return Array.from({ length: count }, () => {
    const row = new Int32Array(LENGTH);
    let token = Math.floor(unit() * OWN);
    for (let i = 0; i < LENGTH; i++) {
      row[i] = task * OWN + token;
      token = (token * [5, 3, 7][task]! + [1, 5, 7][task]!) % OWN;
    }
    return row;
  });
}

const mixedRows = (count: number, seed: number) =>
  Array.from({ length: TASKS }, (_, task) => rowsOf(task, count, seed).map((ids) => ({ ids, task }))).flat();

const batchOf = (rows: ReturnType<typeof mixedRows>) =>
  collate(
    rows.map(({ ids, task }) => [{ ids, labels: ids, group: task, place: "" }]),
    { buckets: "none" },
  );

/** A model with the weights of another's adapter; routers as they were drawn, or of zeros. */
async function withExperts(from: Model, values: Readonly<Record<string, unknown>>, routers: "drawn" | "zeros") {
  const model = await freshModel(values, SMALL);
  const source = new Map(from.trainable().map((one) => [one.name, one]));
  for (const one of model.trainable()) {
    if (!one.name.endsWith("_router")) one.write(await gpu.readFloats(source.get(one.name)!.buffer, one.size));
    else if (routers === "zeros") one.write(new Float32Array(one.size));
  }
  return model;
}

test("three tasks: experts by task, then a router that tells them apart", async () => {
  const settings = { adapter_rank: 4, mixer_experts: TASKS, mixer_active: 1 };
  const batches = [1, 2, 3, 4].map((seed) => batchOf(mixedRows(2, seed)));
  const hard = await freshModel({ ...settings, mixer_hard_steps: HARD }, SMALL);
  const first = await trainOn(hard, batches, { steps: HARD + 1, lr: 0.02, clip: 1 });
  expect([first[HARD - 1]!.router_entropy, first[HARD]!.router_entropy! > 0]).toEqual([0, true]);

  const rows = mixedRows(4, 50);
  const held = batchOf(rows);
  const lossOf = async (one: Model) =>
    meanLoss(
      await logitsOf(gpu, one, held),
      rows.map(({ ids }) => ids),
    );
  const accuracyOf = async (one: Model) => {
    const layers = await routerLogits(one, held);
    let right = 0;
    for (const logits of layers)
      for (let token = 0; token < rows.length * LENGTH; token++) {
        const own = [...logits.subarray(TASKS * token, TASKS * token + TASKS)];
        if (own.indexOf(Math.max(...own)) === rows[Math.floor(token / LENGTH)]!.task) right++;
      }
    return right / (layers.length * rows.length * LENGTH);
  };
  const even = await withExperts(hard, { ...settings, mixer_active: TASKS }, "zeros");
  const model = await withExperts(hard, settings, "drawn");
  const only = (name: string) => name.endsWith("_router");
  const metrics = await trainOn(model, batches, { steps: 60, lr: 0.03, clip: 1, only });
  const [routed, averaged, accuracy] = [await lossOf(model), await lossOf(even), await accuracyOf(model)];
  if (process.env.INGOT_TEST_ERRORS) console.error({ routed, averaged, accuracy, ...metrics.at(-1) });
  expect(routed).toBeLessThan(0.6 * averaged);
  expect(accuracy).toBeGreaterThan(0.6);
  for (const one of [hard, even, model]) one.free();
});

test.if(process.env.INGOT_TEST_LONG === "1")("without its losses the router sends more to one expert", async () => {
  const batches = [1, 2, 3, 4].map((seed) => batchOf(mixedRows(2, seed)));
  const loadWith = async (mixer_balance: number, mixer_entropy: number) => {
    const model = await freshModel({ adapter_rank: 4, mixer_experts: 4, mixer_balance, mixer_entropy }, SMALL);
    const metrics = await trainOn(model, batches, { steps: 100, lr: 0.02, clip: 1 });
    model.free();
    return metrics.slice(-8).reduce((sum, { router_load }) => sum + router_load! / 8, 0);
  };
  expect(await loadWith(0, 0)).toBeGreaterThan((await loadWith(0.1, 0.01)) + 0.02);
});
