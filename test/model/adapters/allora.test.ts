/** ALLoRA: the rates of rows as they are written down, what they multiply, and how fast B A grows. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open, openPlain } from "../../../src/checkpoint/open.ts";
import { stackExamples } from "../../../src/data/batch.ts";
import type { Example } from "../../../src/data/examples.ts";
import { bind, bindDefaults } from "../../../src/method/bind.ts";
import type { AdapterChoice } from "../../../src/model/adapters/contract.ts";
import { fromFile } from "../../../src/model/adapters/from-file.ts";
import { rowRates } from "../../../src/model/adapters/lora/row-rates.ts";
import { loraChoice } from "../../../src/model/adapters/lora/type.ts";
import { method } from "../../../src/model/adapters/methods/allora.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { StepScales } from "../../../src/run/training/rules/step-scales.ts";
import { Trainer } from "../../../src/run/training/trainer.ts";
import { scaleGradient } from "../../../src/tensor/ops/elementwise.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { method as sgd } from "../../../src/train/methods/optimizers/sgd.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { loraOf } from "../../support/lora.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-allora-"));
afterAll(() => rmSync(made, { recursive: true }));

const [OUT, INTO, RANK] = [7, 5, 3];

/** Lengths of the rows of B A, value by value. */
function lengthsOf(a: ArrayLike<number>, b: ArrayLike<number>, rank: number): number[] {
  const [into, out] = [a.length / rank, b.length / rank];
  return Array.from({ length: out }, (_, o) => {
    let square = 0;
    for (let i = 0; i < into; i++) {
      let x = 0;
      for (let k = 0; k < rank; k++) x += b[o * rank + k]! * a[k * into + i]!;
      square += x * x;
    }
    return Math.sqrt(square);
  });
}

test("rates are those of the rows of B A made in full; eta where B is zero", async () => {
  const [a, b] = [normals(1, RANK * INTO), normals(2, OUT * RANK)];
  b.fill(0, 0, RANK);
  const inputs = { a: { shape: [RANK, INTO], data: a, grad: true }, b: { shape: [OUT, RANK], data: b, grad: true } };
  const build = (rec: Parameters<typeof rowRates>[0], x: Record<string, Parameters<typeof rowRates>[1]>) =>
    rowRates(rec, x.a!, x.b!, 4);
  const { outputs, gradients } = await runOp(gpu, { inputs, build, seeds: { y: new Float32Array(OUT).fill(1) } });
  const wanted = lengthsOf(a, b, RANK).map((n) => 1 / Math.sqrt(n + 1 / 16));
  for (const [i, g] of outputs.y!.entries()) expect(g).toBeCloseTo(wanted[i]!, 4);
  expect(outputs.y![0]).toBeCloseTo(4, 5);
  expect(Object.keys(gradients)).toEqual([]);
});

test("the values stay and the gradient is multiplied by row", async () => {
  const [x, s, seed] = [normals(1, 12), normals(2, 4), normals(3, 12)];
  const inputs = { x: { shape: [3, 4], data: x, grad: true }, s: { shape: [4], data: s, grad: true } };
  const { outputs, gradients } = await runOp(gpu, {
    ...{ inputs, seeds: { y: seed } },
    build: (rec, given) => scaleGradient(rec, given.x!, given.s!),
  });
  expect(outputs.y).toEqual(x);
  for (const [i, g] of gradients.x!.entries()) expect(g).toBeCloseTo(seed[i]! * s[i % 4]!, 6);
  expect(gradients.s).toBeUndefined();
});

const NET = { model_type: "mlp", input_size: 4, hidden_sizes: [8, 6], num_labels: 3 };
const BATCH = stackExamples(
  Array.from({ length: 12 }, (_, i) => {
    const x = normals(i, 4).map((v, at) => v + (at === i % 3 ? 3 : 0));
    return { form: "example", x, shape: [4], label: (i + 1) % 3, extra: {}, group: 0, place: `${i}` } as Example;
  }),
);
const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(NET))]]);
const fresh = await Model.fresh(gpu, NET, "net", { seed: 1 });
await saveModel(fresh, `${join(made, "net")}/`, { files, lineage: [] });
fresh.free();
const base = await open(join(made, "net"));

const LORA = loraChoice({ rank: RANK, alpha: RANK, seed: 1 });
const allora = (allora_eta: number, allora_apply: "grad" | "lr"): AdapterChoice => {
  const type = bind(method, Object.assign({ rank: RANK, alpha: 32, dropout: 0.5 }, { allora_eta, allora_apply }));
  return { type, seed: 1 };
};

/** Steps of a new adapter; gives the length of B A over all layers after each fifty, and A and B of the first. */
async function trained(choice: AdapterChoice, optimizer: typeof sgd | typeof adamw, lr: number, steps: number) {
  const model = await Model.load(gpu, base, { adapter: choice });
  const asked = model.adapter!.stepScales?.() ?? [];
  const trainer = await Trainer.make({
    gpu,
    parameters: model.trainable(),
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(optimizer, { weight_decay: 0 }),
    decays: () => false,
    clip: 0,
    seed: 0,
    updates: asked.length > 0 ? [new StepScales(gpu, asked, 0)] : [],
  });
  const entries = [...loraOf(model).entries.values()];
  const read = async () =>
    Promise.all(
      entries.map(async ({ a, b }) => [await gpu.readFloats(a.buffer, a.size), await gpu.readFloats(b.buffer, b.size)]),
    );
  const lengths: number[] = [];
  for (let step = 1; step <= steps; step++) {
    await (await trainer.step(step, lr, [BATCH])).result;
    if (step % 50 === 0) lengths.push(Math.hypot(...(await read()).flatMap(([a, b]) => lengthsOf(a!, b!, RANK))));
  }
  const [[a, b] = []] = await read();
  model.free();
  return { lengths, a: a!, b: b! };
}

test("with rates of 1 a first step is LoRA's with alpha = rank and without dropout; of eta, eta times as far", async () => {
  const lora = await trained(LORA, sgd, 0.01, 1);
  for (const apply of ["grad", "lr"] as const) {
    const one = await trained(allora(1, apply), sgd, 0.01, 1);
    for (const [i, x] of one.b.entries()) expect(x).toBeCloseTo(lora.b[i]!, 7);
    const six = await trained(allora(6, apply), sgd, 0.01, 1);
    for (const [i, x] of six.b.entries()) expect(x).toBeCloseTo(6 * lora.b[i]!, 6);
    expect(six.a).toEqual(lora.a); // B is zero at first
  }
});

test("B A grows faster than LoRA's over the first fifty steps, and slower over the next", async () => {
  const growth = async (choice: AdapterChoice, optimizer: typeof sgd | typeof adamw, lr: number, steps: number) =>
    (await trained(choice, optimizer, lr, steps)).lengths;
  const [first, second] = (await growth(allora(5, "grad"), sgd, 0.02, 100)) as [number, number];
  const [plain, later] = (await growth(LORA, sgd, 0.02, 100)) as [number, number];
  expect(first).toBeGreaterThan(1.5 * plain);
  expect(second - first).toBeLessThan(0.7 * (later - plain));
  const [fast] = (await growth(allora(5, "lr"), adamw, 1e-3, 50)) as [number];
  const [slow] = (await growth(LORA, adamw, 1e-3, 50)) as [number];
  expect(fast).toBeGreaterThan(1.5 * slow);
});

test("its file is an ordinary LoRA, and a run that resumes keeps the rates", async () => {
  const choice = allora(5, "lr");
  const model = await Model.load(gpu, base, { adapter: choice });
  const at = join(made, "allora");
  await saveModel(model, `${at}/`, { files: new Map(), lineage: [] });
  model.free();
  const config = JSON.parse(readFileSync(join(at, "adapter_config.json"), "utf8"));
  expect([config.peft_type, config.r, config.lora_alpha, config.lora_dropout]).toEqual(["LORA", RANK, RANK, 0]);
  const file = await openPlain(at);
  const scalesOf = async (given: AdapterChoice) => {
    const resumed = await Model.load(gpu, base, { adapter: await fromFile(given, file) });
    const count = resumed.adapter!.stepScales!().length;
    resumed.free();
    return count;
  };
  expect([await scalesOf(choice), await scalesOf(LORA)]).toEqual([2, 0]);
});
