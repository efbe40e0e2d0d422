/** EVA: which ranks the layers get, and what A is, of known components; and of what layers of a model read. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../../../src/checkpoint/open.ts";
import { collate, stackExamples } from "../../../../src/data/batch.ts";
import type { Example } from "../../../../src/data/examples.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import type { LayerInputs } from "../../../../src/model/adapters/adapter-init.ts";
import { fromFile } from "../../../../src/model/adapters/from-file.ts";
import { method } from "../../../../src/model/adapters/inits/eva.ts";
import { loraChoice } from "../../../../src/model/adapters/lora/type.ts";
import type { Json } from "../../../../src/model/architecture.ts";
import { Model } from "../../../../src/model/model.ts";
import { saveModel } from "../../../../src/model/save.ts";
import { inputScatter } from "../../../../src/run/gram/input-scatter.ts";
import { layersOf } from "../../../../src/run/training/adapter-inputs.ts";
import { hostMatrix } from "../../../../src/tensor/linear-algebra/leading-svd.ts";
import { svd } from "../../../../src/tensor/linear-algebra/svd.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { logitsOf } from "../../../support/logits.ts";
import { loraOf } from "../../../support/lora.ts";
import { normals } from "../../../support/random.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const made = mkdtempSync(join(tmpdir(), "ingot-eva-"));
afterAll(() => rmSync(made, { recursive: true }));

const layer = (module: string, s: number[], total: number): LayerInputs => ({
  ...{ module, s: Float64Array.from(s), total },
  components: hostMatrix(
    s.length,
    2,
    Float64Array.from({ length: 2 * s.length }, (_, i) => i + 1),
  ),
});
const values = { eva_rows: 1, eva_rho: 2, eva_whiten: false };

test("the largest shares of variance get the ranks, and their sum is the budget", () => {
  // Shares: q 0.9, 0.05; k the same; up 0.5, 0.3; down 0.04.
  const layers = [layer("q", [3, Math.sqrt(0.5)], 10), layer("k", [3, Math.sqrt(0.5)], 10)];
  layers.push(layer("up", [Math.sqrt(5), Math.sqrt(3)], 10), layer("down", [2], 100));
  const ranksOf = (rank: number) =>
    Object.fromEntries([...method.plan({ layers, rank, values })].map(([module, { a }]) => [module, a.rows]));
  expect(ranksOf(1)).toEqual({ q: 1, k: 1, up: 2 });
  // Layers that read the same tie: of what is left, the first of them gets it.
  const five = method.plan({ layers: layers.slice(0, 3), rank: 2, values });
  expect([...five.values()].map(({ a }) => a.rows)).toEqual([2, 2, 2]);
  const all = { layers: [...layers.slice(0, 2), layer("one", [1], 1)], rank: 1, values };
  expect([...method.plan(all)].map(([module, { a }]) => [module, a.rows])).toEqual([
    ["q", 1],
    ["k", 1],
    ["one", 1],
  ]);
  expect([...method.plan({ layers, rank: 1, values }).get("up")!.a.values]).toEqual([1, 2, 3, 4]);
});

test("without redistribution all ranks are equal; whitening divides by the root of the singular value", () => {
  const layers = [layer("a", [4, 1], 17), layer("b", [9, 1], 82)];
  expect(method.asks(3, { ...values, eva_rho: 1 })).toEqual({ rows: 1, components: 3 });
  const even = method.plan({ layers, rank: 2, values: { ...values, eva_whiten: true } });
  expect([...even.values()].map(({ a }) => [...a.values])).toEqual([
    [0.5, 1, 3, 4],
    [1 / 3, 2 / 3, 3, 4],
  ]);
});

const NET = { model_type: "mlp", input_size: 4, hidden_sizes: [6, 5], num_labels: 3 };
const POINTS = Array.from({ length: 11 }, (_, i) => normals(i, 4).map((v, at) => v * (at + 1) + 2));
const ROWS = POINTS.map(
  (x, i) => ({ form: "example", x, shape: [4], label: i % 3, extra: {}, group: 0, place: `${i}` }) as Example,
);

test("components of what a layer reads are those of all rows together, about their mean", async () => {
  const model = await Model.fresh(gpu, NET, "net", { seed: 1, freeze: () => true });
  const first = [...model.parameters.keys()][0]!.replace(/\.weight$/, "");
  const batches = [stackExamples(ROWS.slice(0, 5)), stackExamples(ROWS.slice(5, 10)), stackExamples(ROWS.slice(10))];
  const [found] = await layersOf(model, batches, { wanted: [first], components: 4, signal });
  model.free();
  const centred = POINTS.flatMap((x) =>
    [...x].map((v, at) => v - POINTS.reduce((sum, row) => sum + row[at]!, 0) / POINTS.length),
  );
  const known = svd(centred, ROWS.length, 4);
  expect(found!.total).toBeCloseTo(
    centred.reduce((sum, v) => sum + v * v, 0),
    3,
  );
  const { components } = found!;
  for (let j = 0; j < 4; j++) {
    expect(found!.s[j]!).toBeCloseTo(known.s[j]!, 4);
    const along = [0, 1, 2, 3].reduce((sum, i) => sum + components.values[4 * j + i]! * known.v[4 * i + j]!, 0);
    expect(Math.abs(along)).toBeCloseTo(1, 5);
  }
});

const tokens = (ids: number[], from: number) => ({
  ...{ ids: Int32Array.from(ids), group: 0, place: "" },
  labels: Int32Array.from(ids, (id, i) => (i < from ? -100 : id)),
});
const BATCH = collate([[tokens([1, 5, 7, 2, 9, 36], 0)], [tokens([4, 8, 15], 2)]], { buckets: [8] });

async function llama() {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4 });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(TINY_TEXT.llama))]]);
  await saveModel(model, `${join(made, "llama")}/`, { files, lineage: [] });
  model.free();
  return open(join(made, "llama"));
}

test("tokens count whose own label does; layers that read the same share; any budget gives the same", async () => {
  const model = await Model.load(gpu, await llama(), { freeze: () => true });
  const only = (module: string) => module.includes("layers.");
  const read = async (budget: number) => {
    const all = [];
    for await (const one of inputScatter(model, [BATCH], { only, signal, budget })) all.push(one);
    return all;
  };
  const [one, many] = [await read(2 ** 30), await read(1)];
  model.free();
  expect(many).toEqual(one);
  expect(new Set(one.map(({ rows }) => rows))).toEqual(new Set([7]));
  expect(one[0]!.modules.map((module) => module.split(".").at(-1)!)).toEqual(["q_proj", "k_proj", "v_proj"]);
});

test("an adapter begins as the base, its file reads back with its ranks, and a resumed one is the same", async () => {
  const base = await llama();
  const plain = await Model.load(gpu, base, { freeze: () => true });
  const before = await logitsOf(gpu, plain, BATCH);
  const inner = [...plain.parameters.keys()].flatMap((name) => /^(.*layers\..*_proj)\.weight$/.exec(name)?.[1] ?? []);
  const layers = await layersOf(plain, [BATCH], { wanted: inner, components: 4, signal });
  plain.free();
  const init = bindDefaults(method);
  const planned = method.plan({ layers, rank: 2, values });
  const ranks = [...planned.values()].map(({ a }) => a.rows);
  expect(ranks.reduce((a, b) => a + b, 0)).toBe(2 * inner.length);
  expect(new Set(ranks).size).toBeGreaterThan(1);
  for (const rslora of [false, true]) {
    const choice = { ...loraChoice({ rank: 2, alpha: 6, seed: 1, ...(rslora ? { rslora } : {}) }), init, planned };
    const model = await Model.load(gpu, base, { adapter: choice });
    expect(await logitsOf(gpu, model, BATCH)).toEqual(before);
    const { entries } = loraOf(model);
    for (const [module, { a, scale }] of entries) {
      const held = await gpu.readFloats(a.buffer, a.size);
      expect([...held]).toEqual([...Float32Array.from(planned.get(module)!.a.values)]);
      expect(scale).toBeCloseTo(rslora ? 6 / Math.SQRT2 : 3, 10);
      const [rows, columns] = [a.shape[0]!, a.shape[1]!];
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < rows; j++) {
          let dot = 0;
          for (let c = 0; c < columns; c++) dot += held[i * columns + c]! * held[j * columns + c]!;
          expect(Math.abs(dot - (i === j ? 1 : 0))).toBeLessThan(1e-4);
        }
    }
    for (const [i, { b }] of [...entries.values()].entries()) b.write(normals(i, b.size, 0.2));
    const trained = await logitsOf(gpu, model, BATCH);
    const at = join(made, `eva-${rslora}`);
    await saveModel(model, `${at}/`, { files: new Map(), lineage: [] });
    model.free();
    const config = JSON.parse(readFileSync(join(at, "adapter_config.json"), "utf8")) as Json;
    const odd = [...planned].filter(([, { a }]) => a.rows !== 2).map(([module, { a }]) => [module, a.rows]);
    expect(config.rank_pattern).toEqual(Object.fromEntries(odd));
    const file = await openPlain(at);
    const merged = await Model.load(gpu, await applyAdapter(base, file), {});
    for (const [i, x] of (await logitsOf(gpu, merged, BATCH)).entries()) expect(x).toBeCloseTo(trained[i]!, 3);
    merged.free();
    const resumed = await Model.load(gpu, base, { adapter: await fromFile(choice, file) });
    expect(await logitsOf(gpu, resumed, BATCH)).toEqual(trained);
    resumed.free();
  }
});
