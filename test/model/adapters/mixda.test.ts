/** Mixture of domain adapters: its equation in float64 in both stages, general text that stays, and frozen domains. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collate, type TokenBatch } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { method } from "../../../src/model/adapters/methods/mixda.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { meanLoss, trainOn } from "../../support/adapter-training.ts";
import { erf } from "../../support/erf.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals, randomUnits } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-mixda-"));
afterAll(() => rmSync(made, { recursive: true }));

const LLAMA = TINY_TEXT.llama!;
const SMALL = { mixda_factor: 8, mixda_gate: 3 };

const freshModel = (values: Readonly<Record<string, unknown>>, targets?: readonly string[]) =>
  Model.fresh(gpu, LLAMA, "model", { seed: 3, adapter: { type: bindDefaults(method, values), seed: 1, targets } });

const drawAll = (model: Model, seed = 0) => {
  for (const [i, one] of model.trainable().entries()) one.write(normals(seed + i, one.size, 0.3));
};

const batchOf = (rows: readonly { readonly ids: Int32Array; readonly task?: number }[]): TokenBatch =>
  collate(
    rows.map(({ ids, task = 0 }) => [{ ids, labels: ids, group: task, place: "" }]),
    { buckets: "none" },
  );

/** What a layer reads, (N, in), and what the adapter adds to it, (N, out). */
async function seenAndAdded(model: Model, module: string, batch: TokenBatch) {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { hidden, increments } = model.record(rec, recordInputs(rec, batch), {
    increments: true,
    observe: (name, x) => name === module && rec.output("x", x),
  });
  rec.output("added", increments.get(module)!);
  rec.output("hidden", hidden);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const found = { x: await program.read("x"), added: await program.read("added") };
  program.free();
  return found;
}

const bend = (x: number) => (x * (1 + erf(x / Math.SQRT2))) / 2;

/** W x + b of rows in f64; W is (rows, columns). */
const product = (w: ArrayLike<number>, x: readonly number[], bias?: ArrayLike<number>) =>
  Array.from({ length: w.length / x.length }, (_, row) =>
    x.reduce((sum, value, i) => sum + w[row * x.length + i]! * value, bias?.[row] ?? 0),
  );

/** The sum over adapters of g_k U_k gelu(D_k h), as it is written down. */
async function wantedOf(model: Model, module: string, h: readonly number[], domains: number): Promise<number[]> {
  const part = async (name: string) => {
    const found = model.adapter!.tensors().find((one) => one.name.endsWith(`${module}.mixda_${name}`))!;
    return gpu.readFloats(found.buffer, found.size);
  };
  const inner = product(await part("gate.weight"), h, await part("gate.bias")).map(bend);
  const logits = product(await part("share.weight"), inner, await part("share.bias")).map(Math.exp);
  const total = logits.reduce((a, b) => a + b);
  const [down, up] = [await part("down"), await part("up")];
  const out = LLAMA.hidden_size as number;
  const y = new Array<number>(out).fill(0);
  const addOne = (share: number, d: Float32Array, u: Float32Array) => {
    for (const [r, low] of product(d, h).map(bend).entries())
      for (let o = 0; o < out; o++) y[o]! += share * low * u[r * out + o]!;
  };
  if (domains > 0) {
    const [downs, ups] = [await part("domain_down"), await part("domain_up")];
    for (let k = 0; k < domains; k++)
      addOne(
        logits[1 + k]! / total,
        downs.subarray(k * down.length, (k + 1) * down.length),
        ups.subarray(k * up.length, (k + 1) * up.length),
      );
  }
  addOne(logits[1 + domains]! / total, down, up);
  return y;
}

const BATCH = batchOf([{ ids: Int32Array.of(1, 5, 7, 2, 9) }]);

async function checkEquation(model: Model, module: string, domains: number) {
  const { x, added } = await seenAndAdded(model, module, BATCH);
  const [into, out] = [LLAMA.intermediate_size as number, LLAMA.hidden_size as number];
  const most = added.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  expect(most).toBeGreaterThan(0.01);
  for (let n = 0; n < 5; n++) {
    const wanted = await wantedOf(model, module, [...x.subarray(n * into, (n + 1) * into)], domains);
    for (const [o, value] of wanted.entries()) expect(Math.abs(added[n * out + o]! - value) / most).toBeLessThan(5e-5);
  }
}

test("an adapter of a domain, then frozen ones with a new one beside them", async () => {
  const refs: string[] = [];
  const modules = ["model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"];
  for (const [i, targets] of [modules, [modules[1]!]].entries()) {
    const model = await freshModel(SMALL, targets);
    drawAll(model, 20 * i);
    await checkEquation(model, modules[1]!, 0);
    refs.push(join(made, `domain-${i}`));
    await saveModel(model, `${refs[i]}/`, { files: new Map(), lineage: [] });
    model.free();
  }
  const model = await freshModel({ ...SMALL, mixda_domains: refs });
  expect(model.trainable().some(({ name }) => name.includes("domain"))).toBe(false);
  drawAll(model, 50);
  for (const module of modules) await checkEquation(model, module, 2);
  const domains = model.adapter!.tensors().filter(({ name }) => name.includes("domain"));
  expect(domains.map(({ shape }) => shape[0])).toEqual([2, 2, 2, 2]);
  // The second domain leaves the first layer alone.
  const ups = await gpu.readFloats(domains[1]!.buffer, domains[1]!.size);
  expect(ups.subarray(ups.length / 2).every((x) => x === 0)).toBe(true);
  model.free();
  await expect(freshModel({ ...SMALL, mixda_factor: 4, mixda_domains: refs })).rejects.toThrow(
    "no mixda adapter of a domain whose mixda_factor is 4",
  );
});

/** Rows in which every token has a successor of its own; the halves of the tokens are domain and general text. */
function rowsOf(task: number, count: number, seed: number) {
  const unit = randomUnits(seed);
  return Array.from({ length: count }, () => {
    const first = Math.floor(unit() * 12);
    return { task, ids: Int32Array.from({ length: 8 }, (_, i) => 20 * task + ((first + 5 * i) % 12)) };
  });
}

test("general text alone moves nothing while the adapter adds nothing", async () => {
  const model = await freshModel({ ...SMALL, mixda_general: 1 });
  const values = () => Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const before = await values();
  const [first] = await trainOn(model, [batchOf(rowsOf(1, 3, 1))], { steps: 1, lr: 0.1 });
  expect(first!.old_loss).toBe(0);
  expect(await values()).toEqual(before);
  model.free();
});

test("the domain is learnt; the more what is added on general text counts, the less changes there", async () => {
  const [domain, general] = [rowsOf(0, 6, 7), rowsOf(1, 6, 8)];
  const batches = [1, 2, 3].map((seed) => batchOf([...rowsOf(0, 3, seed), ...rowsOf(1, 3, 50 + seed)]));
  const lossesOf = async (model: Model) => {
    const found: number[] = [];
    for (const rows of [domain, general])
      found.push(
        meanLoss(
          await logitsOf(gpu, model, batchOf(rows)),
          rows.map(({ ids }) => ids),
        ),
      );
    return found as [number, number];
  };
  const base = await freshModel(SMALL);
  const [domainBefore, generalBefore] = await lossesOf(base);
  base.free();
  const changed: number[] = [];
  for (const weight of [1e-3, 2, 1e5]) {
    const model = await freshModel({ ...SMALL, mixda_general: 1, mixda_old: weight });
    await trainOn(model, batches, { steps: 30, lr: 0.02, clip: 1 });
    const [domainAfter, generalAfter] = await lossesOf(model);
    if (process.env.INGOT_TEST_ERRORS)
      console.error({ weight, domainBefore, domainAfter, generalBefore, generalAfter });
    if (weight < 1e5) expect(domainAfter).toBeLessThan(domainBefore - 0.5);
    changed.push(Math.abs(generalAfter - generalBefore));
    model.free();
  }
  expect(changed[1]!).toBeLessThan(changed[0]!);
  expect(changed[2]!).toBeLessThan(0.02 * generalBefore);
});
