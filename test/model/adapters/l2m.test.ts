/** L2M: LoRA as its limit, slots by cosine in float64, tasks that keep theirs to the bit, and writing with one slot. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate, stackExamples, type TokenBatch } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loraChoice } from "../../../src/model/adapters/lora/type.ts";
import { method } from "../../../src/model/adapters/methods/l2m.ts";
import { Model } from "../../../src/model/model.ts";
import { Decoder } from "../../../src/run/generating/decoder.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import { trainOn } from "../../support/adapter-training.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals, randomUnits } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const LLAMA = TINY_TEXT.llama!;

const freshModel = (values: Readonly<Record<string, unknown>>, targets?: readonly string[]) =>
  Model.fresh(gpu, LLAMA, "model", { seed: 3, adapter: { type: bindDefaults(method, values), seed: 1, targets } });

const read = ({ buffer, size }: Parameter) => gpu.readFloats(buffer, size);

const tensorOf = (model: Model, name: string): Parameter =>
  model.adapter!.tensors().find((one) => one.name.endsWith(name))!;

/** Rows of ids; `asked`: the first token that counts, where not all do. */
const batchOf = (rows: readonly { ids: Int32Array; task?: number; asked?: number }[]): TokenBatch =>
  collate(
    rows.map(({ ids, task = 0, asked = 0 }) => [
      { ids, labels: ids.map((id, i) => (i < asked ? -100 : id)), group: task, place: "" },
    ]),
    { buckets: "none" },
  );

const gap = (found: Float32Array, wanted: Float32Array) =>
  found.reduce((most, x, i) => Math.max(most, Math.abs(x - wanted[i]!)), 0) /
  wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** The slot of each query, a sum of rows of the embedding, in f64. */
async function slotsOf(model: Model, prompts: readonly (readonly number[])[]): Promise<number[]> {
  const keys = await read(tensorOf(model, "l2m_key"));
  const table = await read(model.parameters.get("model.embed_tokens.weight")!);
  const width = model.sizes.width;
  return prompts.map((ids) => {
    const q = Array.from({ length: width }, (_, c) => ids.reduce((sum, id) => sum + table[id * width + c]!, 0));
    const alike = Array.from({ length: keys.length / width }, (_, slot) => {
      const key = keys.subarray(slot * width, (slot + 1) * width);
      return q.reduce((sum, x, c) => sum + x * key[c]!, 0) / Math.hypot(...key);
    });
    return alike.indexOf(Math.max(...alike));
  });
}

/** A LoRA model with the factors of a slot, all slots' drawn the same way. */
async function loraOf(model: Model, slot: number, targets: readonly string[]): Promise<Model> {
  const lora = await Model.fresh(gpu, LLAMA, "model", {
    seed: 3,
    adapter: loraChoice({ rank: 3, alpha: 5, seed: 1, targets }),
  });
  for (const factor of lora.trainable()) {
    const all = await read(tensorOf(model, factor.name.replace(/lora_([AB]).*/, "l2m_$1")));
    const own = all.subarray(slot * factor.size, (slot + 1) * factor.size);
    const [rows = 0, columns = 0] = factor.shape;
    const turned = own.map((_, at) => own[(at % columns) * rows + Math.floor(at / columns)]!);
    factor.write(factor.name.includes("lora_A") ? own.slice() : turned);
  }
  return lora;
}

const TARGETS = ["q_proj", "up_proj", "down_proj"];
const drawAll = (model: Model) => {
  for (const [i, one] of model.trainable().entries()) one.write(normals(i, one.size, 0.3));
};

test("one slot is one LoRA, and several are that of the likest key to the prompt", async () => {
  const rows = [
    { ids: Int32Array.of(1, 5, 7, 2, 9, 36), asked: 3 },
    { ids: Int32Array.of(4, 8, 11, 20), asked: 2 },
    { ids: Int32Array.of(30, 31, 3, 40, 41, 42, 43, 12), asked: 5 },
  ];
  for (const slots of [1, 4]) {
    const model = await freshModel({ adapter_rank: 3, adapter_alpha: 5, l2m_slots: slots }, TARGETS);
    drawAll(model);
    const chosen = await slotsOf(
      model,
      rows.map(({ ids, asked }) => [...ids.subarray(0, asked)]),
    );
    if (slots > 1) expect(new Set(chosen).size).toBeGreaterThan(1);
    const found = await logitsOf(gpu, model, batchOf(rows));
    for (const [i, slot] of chosen.entries()) {
      const lora = await loraOf(model, slot, TARGETS);
      const size = found.length / rows.length;
      const wanted = await logitsOf(gpu, lora, batchOf(rows));
      const own = rows[i]!.ids.length * model.sizes.outputs;
      const part = (all: Float32Array) => all.subarray(i * size, i * size + own);
      expect(gap(part(found), part(wanted))).toBeLessThan(2e-5);
      lora.free();
    }
    model.free();
  }
});

test("an answer is written with the slot of its prompt", async () => {
  const model = await freshModel({ adapter_rank: 3, l2m_slots: 5 });
  drawAll(model);
  const decoder = new Decoder(model, "model");
  const prompts = [
    [1, 5, 7],
    [30, 31, 3, 40, 41],
  ];
  const answers = [
    [2, 9],
    [44, 45],
  ];
  let found = await decoder.read(prompts, { most: 16, names: ["a", "b"] });
  for (let length = 0; ; length++) {
    const texts = prompts.map((prompt, i) => [...prompt, ...answers[i]!.slice(0, length)]);
    const batch = batchOf(
      texts.map((ids, i) => ({ ids: Int32Array.from(ids), asked: length === 0 ? 0 : prompts[i]!.length })),
    );
    const wanted = await logitsOf(gpu, model, batch);
    const width = model.sizes.outputs;
    for (const [i, { length: own }] of texts.entries()) {
      const at = (i * batch.length + own - 1) * width;
      expect(gap(found.subarray(i * width, (i + 1) * width), wanted.subarray(at, at + width))).toBeLessThan(2e-5);
    }
    if (length === 2) break;
    const next = texts.map((text, i) => [...text, answers[i]![length]!]);
    found = await decoder.next(next, new Set([0, 1]));
  }
  decoder.free();
  model.free();
});

const TASKS = 3;

/** Rows of a task: tokens of its own, 12 of them, in a fixed order. */
function rowsOf(task: number, count: number, seed: number) {
  const unit = randomUnits(seed + 10 * task);
  return Array.from({ length: count }, () => {
    const first = Math.floor(unit() * 12);
    return { task, ids: Int32Array.from({ length: 8 }, (_, i) => 12 * task + ((first + 5 * i) % 12)) };
  });
}

test("tasks take slots of their own, and what does not change its slot stays to the bit", async () => {
  const model = await freshModel({ adapter_rank: 2, l2m_slots: 8, l2m_tasks: TASKS });
  const held = Array.from({ length: TASKS }, (_, task) => rowsOf(task, 8, 900)).flat();
  const says = () => logitsOf(gpu, model, batchOf(held));
  const countsOf = async () => read(tensorOf(model, "l2m_counts"));
  const untouched = await says();
  let before = untouched;
  for (let task = 0; task < TASKS; task++) {
    const batches = [1, 2].map((seed) => batchOf(rowsOf(task, 6, seed)));
    const metrics = await trainOn(model, batches, { steps: 12, lr: 0.02, clip: 1 });
    expect(metrics.at(-1)!.loss!).toBeLessThan(metrics[0]!.loss!);
    expect(metrics.at(-1)!.key_loss!).toBeLessThan(metrics[0]!.key_loss!);
    const counts = await countsOf();
    const own = [...counts.subarray(8 * task, 8 * task + 8)];
    expect(own.reduce((a, b) => a + b)).toBe(12 * 6);
    // Slots of earlier tasks are left alone.
    const earlier = own.map((_, slot) => counts.subarray(0, 8 * task).some((x, at) => at % 8 === slot && x > 0));
    expect(own.every((count, slot) => count === 0 || !earlier[slot])).toBe(true);
    const after = await says();
    const slots = await slotsOf(
      model,
      held.map(({ ids }) => [...ids]),
    );
    const size = after.length / held.length;
    let kept = 0;
    for (const [i, slot] of slots.entries()) {
      if (own[slot]! > 0) continue;
      kept++;
      expect(after.subarray(i * size, (i + 1) * size)).toEqual(before.subarray(i * size, (i + 1) * size));
    }
    if (task > 0) expect(kept).toBeGreaterThanOrEqual(8 * task);
    before = after;
  }
  const slots = await slotsOf(
    model,
    held.map(({ ids }) => [...ids]),
  );
  const bySlot = Map.groupBy(held.keys(), (i) => slots[i]!);
  const most = [...bySlot.values()].map((own) =>
    Math.max(...[0, 1, 2].map((task) => own.filter((i) => held[i]!.task === task).length)),
  );
  expect(most.reduce((a, b) => a + b) / held.length).toBeGreaterThan(0.9);
  expect(gap(before, untouched)).toBeGreaterThan(0.01);
  model.free();
});

test("a pool that is divided between tasks", async () => {
  const values = { adapter_rank: 2, l2m_slots: 5, l2m_tasks: 2 };
  const model = await freshModel({ ...values, l2m_partition: true });
  const rows = rowsOf(0, 12, 3);
  const batches = [0, 1].map((task) => batchOf(rows.map(({ ids }) => ({ ids, task }))));
  await trainOn(model, batches, { steps: 2, lr: 0 });
  const counts = [...(await read(tensorOf(model, "l2m_counts")))];
  const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
  // Slots 0 to 2 are the first task's.
  expect([sum(counts.slice(0, 3)), sum(counts.slice(3, 5)), sum(counts.slice(5, 8)), sum(counts.slice(8))]).toEqual([
    12, 0, 0, 12,
  ]);
  drawAll(model);
  const [first, second] = [await logitsOf(gpu, model, batches[0]!), await logitsOf(gpu, model, batches[1]!)];
  expect(gap(first, second)).toBeGreaterThan(0.01);
  model.free();
  await expect(freshModel({ ...values, l2m_slots: 1, l2m_partition: true })).rejects.toThrow("cannot be divided");
});

test("more tasks than it knows and texts that share a row are refused", async () => {
  const model = await freshModel({ adapter_rank: 2, l2m_slots: 3 });
  await expect(trainOn(model, [batchOf(rowsOf(1, 2, 1))], { steps: 1, lr: 0 })).rejects.toThrow("groups or more");
  const row = (ids: Int32Array) => ({ ids, labels: ids, group: 0, place: "" });
  const packed = collate([[row(Int32Array.of(1, 2, 3)), row(Int32Array.of(4, 5))]], { buckets: "none" });
  await expect(logitsOf(gpu, model, packed)).rejects.toThrow("several texts share a row");
  model.free();
});

test("a classifier of numbers chooses by its rows", async () => {
  const json = { model_type: "mlp", input_size: 7, hidden_sizes: [9, 5], num_labels: 3 };
  const model = await Model.fresh(gpu, json, "mlp", {
    seed: 3,
    adapter: { type: bindDefaults(method, { adapter_rank: 2, l2m_slots: 4 }), seed: 1 },
  });
  expect(tensorOf(model, "l2m_key").shape).toEqual([4, 7]);
  const examples = Array.from({ length: 6 }, (_, i) => ({ x: normals(i, 7), shape: [7], label: i % 3 }));
  const batch = stackExamples(examples);
  const before = await logitsOf(gpu, model, batch);
  const metrics = await trainOn(model, [batch], { steps: 10, lr: 0.05 });
  expect(metrics.at(-1)!.loss!).toBeLessThan(metrics[0]!.loss! - 0.1);
  expect(gap(await logitsOf(gpu, model, batch), before)).toBeGreaterThan(0.01);
  model.free();
});
