/** Ways to begin a LoRA adapter: an untrained one is the base, and the file of a trained one gives what was trained. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../../src/checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { open, openPlain } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { type Bound, bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod, loadMethods } from "../../../src/method/registry.ts";
import { begun, type DataInit, type WeightInit } from "../../../src/model/adapters/adapter-init.ts";
import { fromFile } from "../../../src/model/adapters/from-file.ts";
import { halves } from "../../../src/model/adapters/lora/taken-out.ts";
import { loraChoice } from "../../../src/model/adapters/lora/type.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { describeConfig } from "../../../src/model/description.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { measuring } from "../../../src/run/training/adapter-inputs.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { loraOf } from "../../support/lora.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-inits-"));
afterAll(() => rmSync(made, { recursive: true }));

const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 0, 3);
const ROWS = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });

async function baseOf(name: string, json: Json) {
  const model = await Model.fresh(gpu, json, name, { seed: 4 });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, `${join(made, name)}/`, { files, lineage: [] });
  model.free();
  return open(join(made, name));
}

const away = (found: Float32Array, wanted: Float32Array) => Math.max(...found.map((x, i) => Math.abs(x - wanted[i]!)));

async function weightInit(name: string): Promise<WeightInit> {
  const method = await loadMethod("adapter-init", name);
  if (method.needs !== "weight") throw new TypeError(`${name} is not of weights`);
  return method;
}

const OF_LAYERS = (await loadMethods("adapter-init"))
  .filter((method) => method.needs !== "inputs" && !(method.needs === "weight" && method.rounding))
  .map(({ name }) => name);

const { signal } = new AbortController();

/** The choice, with what it measures on the rows. */
async function choiceOf(name: string, rank: number, { rslora = false, base }: { rslora?: boolean; base?: Checkpoint }) {
  const type = loraChoice({ rank, alpha: 6, seed: 1, ...(rslora ? { rslora } : {}) });
  const init = bindDefaults(await loadMethod("adapter-init", name));
  const { needs } = init.method;
  if (needs === "weight") return { ...type, init };
  const model = await Model.load(gpu, base!, { freeze: () => needs !== "gradient" });
  const { architecture, config } = await describeConfig(model.json, "base");
  const measure = measuring({ signal, info: () => {} }, architecture.parameters(config), async () => [ROWS]);
  const scale = 6 / (rslora ? Math.sqrt(rank) : rank);
  const planned = await measure(model, { init: init as Bound<DataInit>, rank, scale, targets: undefined });
  model.free();
  return { ...type, init, planned };
}

/** A weight of full rank, and one of rank 2 whose first two columns are the same. */
const WEIGHTS = {
  full: { rows: 5, columns: 4, values: normals(3, 20) },
  low: {
    ...{ rows: 5, columns: 4 },
    values: Float32Array.from({ length: 20 }, (_, i) => {
      const [row, column] = [Math.floor(i / 4), i % 4];
      return (row + 1) * [1, 1, 2, 0][column]! + (row % 2) * [0, 0, 1, 3][column]!;
    }),
  },
};

type Side = { readonly rows: number; readonly columns: number; readonly values: ArrayLike<number> };
const product = (b: Side, a: Side) =>
  Array.from({ length: b.rows * a.columns }, (_, i) => {
    const [row, column] = [Math.floor(i / a.columns), i % a.columns];
    let sum = 0;
    for (let k = 0; k < a.rows; k++) sum += b.values[row * b.columns + k]! * a.values[k * a.columns + column]!;
    return sum;
  });

describe("of one weight", () => {
  const beginning = async (name: string, weight: (typeof WEIGHTS)["full"], rank: number, scale: number) =>
    begun(await weightInit(name), { weight, rank, scale, gpu, values: bindDefaults(await weightInit(name)).values });

  test("pissa: s B A is the best approximation of the rank, and of all ranks the weight", async () => {
    const { a, b } = await beginning("pissa", WEIGHTS.full, 4, 0.5);
    for (const [i, x] of product(b!, a).entries()) expect(0.5 * x).toBeCloseTo(WEIGHTS.full.values[i]!, 6);
    // A diagonal weight by hand: the larger value, its root over s on each side.
    const diagonal = { rows: 2, columns: 2, values: Float32Array.of(1, 0, 0, 8) };
    const one = await beginning("pissa", diagonal, 1, 2);
    expect([...one.a.values].map(Math.abs)).toEqual([0, 2]);
    expect([...one.b!.values].map(Math.abs)).toEqual([0, 2]);
  });

  test("olora: columns of B are orthonormal, B A is the weight's part along them", async () => {
    const { a, b } = await beginning("olora", WEIGHTS.full, 3, 0.5);
    const turned = {
      rows: 3,
      columns: 5,
      values: Array.from({ length: 15 }, (_, i) => b!.values[(i % 5) * 3 + Math.floor(i / 5)]!),
    };
    for (const [i, x] of product(turned, b!).entries()) expect(x).toBeCloseTo(i % 4 === 0 ? 1 : 0, 10);
    // R is upper triangular, and the first three columns of the weight are Q R.
    for (const [row, column] of [
      [1, 0],
      [2, 0],
      [2, 1],
    ] as const)
      expect(a.values[row * 4 + column]).toBeCloseTo(0, 6);
    for (const [i, x] of product(b!, a).entries()) if (i % 4 < 3) expect(x).toBeCloseTo(WEIGHTS.full.values[i]!, 6);
  });

  test("a weight of a lower rank gives fewer", async () => {
    for (const name of ["pissa", "olora"]) {
      const { a, b } = await beginning(name, WEIGHTS.low, 3, 1);
      expect([name, a.rows, b!.columns]).toEqual([name, 2, 2]);
      for (const [i, x] of product(b!, a).entries()) expect(x).toBeCloseTo(WEIGHTS.low.values[i]!, 5);
    }
  });
});

test("a file's pair comes apart as it was put together", () => {
  const { trained, frozen } = halves(Float32Array.of(1, 2, 3, 4), Float32Array.of(5, 6, 7, 8, 9, 10), 2);
  expect([trained, frozen].map(({ a, b }) => [[...a], [...b]])).toEqual([
    [
      [1, 2],
      [5, 7, 9],
    ],
    [
      [3, 4],
      [6, 8, 10],
    ],
  ]);
});

describe.each(OF_LAYERS)("%s", (init) => {
  test.each([
    ["llama", 3, false],
    ["llama", 40, true],
    ["gpt2", 3, false],
  ] as const)("%s with rank %i, rslora %p", async (name, rank, rslora) => {
    const base = await baseOf(name, TINY_TEXT[name]!);
    const plain = await Model.load(gpu, base, {});
    const before = await logitsOf(gpu, plain, ROWS);
    plain.free();
    const choice = await choiceOf(init, rank, { rslora, base });
    const model = await Model.load(gpu, base, { adapter: choice });
    expect(away(await logitsOf(gpu, model, ROWS), before)).toBeLessThan(2e-5);
    const isOne = choice.init.method.takesOut;
    const ranks = new Set(model.trainable().map(({ shape }) => Math.min(...shape)));
    if (rank < 10) expect([...ranks]).toEqual([rank]);

    for (const [i, { a, b }] of [...loraOf(model).entries.values()].entries())
      for (const side of [a, b]) {
        const values = await gpu.readFloats(side.buffer, side.size);
        const change = normals(i, values.length, 0.1);
        side.write(values.map((x, at) => x + change[at]!));
      }
    const wanted = await logitsOf(gpu, model, ROWS);
    expect(away(wanted, before)).toBeGreaterThan(1e-2);
    const at = join(made, `${init}-${name}-${rank}`);
    await saveModel(model, `${at}/`, { files: new Map(), lineage: [] });
    model.free();

    const config = JSON.parse(readFileSync(join(at, "adapter_config.json"), "utf8")) as Json;
    expect([config.init_lora_weights, config.r]).toEqual([true, isOne ? 2 * rank : rank]);
    const file = await openPlain(at);
    // On the original base, as every reader of PEFT's files has it.
    const merged = await Model.load(gpu, await applyAdapter(base, file), {});
    expect(away(await logitsOf(gpu, merged, ROWS), wanted)).toBeLessThan(1e-4);
    merged.free();

    // A run that resumes trains the same halves, and writes the same bytes.
    const resumed = await Model.load(gpu, base, { adapter: await fromFile(choice, file) });
    expect(await logitsOf(gpu, resumed, ROWS)).toEqual(wanted);
    expect(new Set(resumed.trainable().map(({ shape }) => Math.min(...shape)))).toEqual(ranks);
    await saveModel(resumed, `${at}-again/`, { files: new Map(), lineage: [] });
    resumed.free();
    const bytes = (folder: string) => readFileSync(join(folder, "adapter_model.safetensors"));
    expect(bytes(`${at}-again`).equals(bytes(at))).toBe(true);
  });
});

test("refuses what it cannot begin", async () => {
  const base = await baseOf("llama", TINY_TEXT.llama!);
  const load = async (more: object) =>
    Model.load(gpu, base, { adapter: { ...(await choiceOf("pissa", 2, {})), ...more } });
  expect(load({ targets: ["embed_tokens"] })).rejects.toThrow("does not begin model.embed_tokens");
  // Of what is measured before anything is read.
  const { architecture, config } = await describeConfig(TINY_TEXT.llama!, "base");
  const plain = await Model.load(gpu, base, {});
  const measure = measuring({ signal, info: () => {} }, architecture.parameters(config), async () => {
    throw new Error("rows were read");
  });
  const init = bindDefaults(await loadMethod("adapter-init", "corda")) as Bound<DataInit>;
  const wanted = { init, rank: 2, scale: 1, targets: ["embed_tokens"] };
  await expect(measure(plain, wanted)).rejects.toThrow("does not begin model.embed_tokens");
  plain.free();
  const dora = loraChoice({ rank: 2, alpha: 2, seed: 0, dora: true });
  expect(load({ type: dora.type })).rejects.toThrow("--dora has no form for that");
});
