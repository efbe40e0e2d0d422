/** Poly and MHR: each task as the LoRA that its gates mix, their limits, what they save, and what is refused. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { loraChoice } from "../../../src/model/adapters/lora/type.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-skills-"));
afterAll(() => rmSync(made, { recursive: true }));

const JSON_OF = TINY_TEXT.llama!;
const ROWS = [
  [1, 5, 7, 2, 9, 36],
  [4, 8, 15, 16, 23, 30],
  [4, 8, 15, 3, 0, 11],
];
const batchOf = (groups: readonly number[]) =>
  collate(
    ROWS.map((row, i) => [
      { ids: Int32Array.from(row), labels: Int32Array.from(row), group: groups[i]!, place: `${i}` },
    ]),
    { buckets: "none" },
  );

async function adapted(name: string, values: Readonly<Record<string, unknown>>): Promise<Model> {
  const type = await loadMethod("adapter", name);
  const adapter = { type: bindDefaults(type, values), seed: 1, base: "base" };
  const model = await Model.fresh(gpu, JSON_OF, "llama", { seed: 3, adapter });
  for (const [i, parameter] of model.trainable().entries()) parameter.write(normals(i, parameter.size, 0.4));
  return model;
}

interface Held {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Factors of a task in PEFT's LoRA: A (r, in) and B (out, r), as gates mix them. */
function mixed(gates: Held, a: Held, b: Held, task: number) {
  const [splits, skills, into, r] = a.shape as [number, number, number, number];
  const out = b.shape[3]!;
  const open = Float64Array.from(gates.values, (z) => 1 / (1 + Math.exp(-z)));
  const gate = (q: number, s: number) => {
    const first = task * splits * skills + q * skills;
    return open[first + s]! / open.subarray(first, first + skills).reduce((x, y) => x + y, 1e-12);
  };
  const lora = { a: new Float32Array(r * splits * into), b: new Float32Array(splits * out * r) };
  for (let q = 0; q < splits; q++)
    for (let s = 0; s < skills; s++)
      for (let k = 0; k < r; k++) {
        for (let i = 0; i < into; i++)
          lora.a[k * splits * into + q * into + i]! += gate(q, s) * a.values[((q * skills + s) * into + i) * r + k]!;
        for (let o = 0; o < out; o++)
          lora.b[(q * out + o) * r + k]! += gate(q, s) * b.values[((q * skills + s) * r + k) * out + o]!;
      }
  return lora;
}

/** Logits of the LoRA that one task's gates mix. */
async function logitsOfTask(model: Model, rank: number, task: number): Promise<Float32Array> {
  const tensors = new Map<string, Held>();
  for (const { name, shape, buffer, size } of model.trainable())
    tensors.set(name, { shape, values: await gpu.readFloats(buffer, size) });
  const lora = await Model.fresh(gpu, JSON_OF, "llama", {
    seed: 3,
    adapter: loraChoice({ rank, alpha: 1, seed: 1 }),
  });
  for (const parameter of lora.trainable()) {
    const [, module, side] = /^(.*)\.lora_([AB])\.weight$/.exec(parameter.name)!;
    const part = (of: string) => tensors.get(`${module}.${of}`)!;
    const own = mixed(part("poly_router.module_logits"), part("poly_lora_A"), part("poly_lora_B"), task);
    parameter.write(side === "A" ? own.a : own.b);
  }
  const logits = await logitsOf(gpu, lora, batchOf([0, 0, 0]));
  lora.free();
  return logits;
}

const expectClose = (found: Float32Array, wanted: Float32Array) => {
  const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
  expect(found.length).toBe(wanted.length);
  expect(found.reduce((a, x, i) => Math.max(a, Math.abs(x - wanted[i]!)), 0) / most).toBeLessThan(2e-5);
};

test.each([
  ["poly", { adapter_rank: 3, poly_tasks: 3, poly_skills: 4 }],
  ["mhr", { adapter_rank: 2, poly_tasks: 3, poly_skills: 3, poly_splits: 4 }],
  ["mhr", { adapter_rank: 2, poly_tasks: 3, poly_skills: 1, poly_splits: 2 }],
  ["poly", { adapter_rank: 4, poly_tasks: 3, poly_skills: 1 }],
])("%s %o: rows of each task have the LoRA that its gates mix", async (name, values) => {
  const model = await adapted(name, values);
  const groups = [2, 0, 1];
  const found = await logitsOf(gpu, model, batchOf(groups));
  const row = found.length / 3;
  for (const [i, task] of groups.entries()) {
    const wanted = await logitsOfTask(model, values.adapter_rank, task);
    expectClose(found.subarray(i * row, (i + 1) * row), wanted.subarray(i * row, (i + 1) * row));
  }
  const same = await logitsOf(gpu, model, batchOf([0, 0, 0]));
  const others = found.subarray(0, row).every((x, i) => Math.abs(x - same[i]!) < 1e-4);
  expect(others).toBe(values.poly_skills === 1); // one skill is one LoRA of all tasks
  model.free();
});

test("MHR of one split is Poly, to the bit, and its file is PEFT's", async () => {
  const values = { adapter_rank: 3, poly_tasks: 2, poly_skills: 4, poly_splits: 1 };
  const [poly, mhr] = [await adapted("poly", values), await adapted("mhr", values)];
  expect(await logitsOf(gpu, mhr, batchOf([0, 1, 0]))).toEqual(await logitsOf(gpu, poly, batchOf([0, 1, 0])));
  expect(mhr.adapter!.config).toBe(poly.adapter!.config);
  const config = JSON.parse(mhr.adapter!.config);
  expect(config).toMatchObject({ peft_type: "POLY", poly_type: "poly", r: 3, n_tasks: 2, n_skills: 4, n_splits: 1 });
  expect("poly_task" in config).toBe(false);
  const shapes = Object.fromEntries(mhr.adapter!.stored().map(({ name, shape }) => [name, shape]));
  const layer = "base_model.model.model.layers.0.mlp.up_proj";
  expect(shapes[`${layer}.poly_lora_A`]).toEqual([1, 4, 24, 3]);
  expect(shapes[`${layer}.poly_lora_B`]).toEqual([1, 4, 3, 40]);
  expect(shapes[`${layer}.poly_router.module_logits`]).toEqual([2, 4]);
  poly.free();
  mhr.free();
});

test("where nothing says the task it is asked for, and poly_task says it for all rows", async () => {
  const values = { adapter_rank: 2, poly_tasks: 2, poly_splits: 2 };
  const asked = { ...GREEDY, maxTokens: 3, stop: [], batch: 2 };
  const written = async (model: Model) => {
    const generator = new Generator(model);
    try {
      return (await generator.complete([[1, 5, 7], [9]], asked)).map((ids) => [...ids]);
    } finally {
      generator.free();
    }
  };
  const model = await adapted("mhr", values);
  await expect(written(model)).rejects.toThrow("nothing says of which of its 2 tasks these rows are");
  await expect(logitsOf(gpu, model, batchOf([0, 1, 2]))).rejects.toThrow("the model knows 2 of them as tasks");
  const known = await adapted("mhr", { ...values, poly_task: 1 });
  expect(await logitsOf(gpu, known, batchOf([0, 0, 0]))).toEqual(await logitsOf(gpu, known, batchOf([1, 1, 1])));
  expectClose(await logitsOf(gpu, known, batchOf([0, 0, 0])), await logitsOf(gpu, model, batchOf([1, 1, 1])));
  expect((await written(known)).map(({ length }) => length)).toEqual([3, 3]);

  await saveModel(known, `${join(made, "known")}/`, { files: new Map(), lineage: [] });
  const from = await openPlain(join(made, "known"));
  expect(JSON.parse(known.adapter!.config).poly_task).toBe(1);
  const type = bindDefaults(await loadMethod("adapter", "poly"));
  const again = await Model.fresh(gpu, JSON_OF, "llama", { seed: 3, adapter: { type, seed: 1, from } });
  expect(await logitsOf(gpu, again, batchOf([0, 0, 0]))).toEqual(await logitsOf(gpu, known, batchOf([0, 0, 0])));
  from.close();
  for (const one of [model, known, again]) one.free();
});

test("splits that do not divide a layer and tasks that there are not are refused", () => {
  expect(adapted("mhr", { poly_splits: 5 })).rejects.toThrow("24 inputs and 24 outputs, which are not 5 equal splits");
  expect(adapted("poly", { poly_task: 1 })).rejects.toThrow("poly_task 1 is not among 1 tasks");
});
