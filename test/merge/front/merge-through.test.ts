/** RegMean++ against its definition in float64, and the command that runs it. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stackExamples } from "../../../src/data/batch.ts";
import { mergeThrough, partsOf, type Reader } from "../../../src/merge/front/merge-through.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXPERTS } from "../../support/tiny-models.ts";
import { gramOf, reference } from "../normal-equations.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-front-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();

const MLP: Json = { model_type: "mlp", input_size: 6, hidden_sizes: [5, 4], num_labels: 3, hidden_act: "gelu" };
const NAMES = ["layers.0", "layers.1", "classifier"];
const ROWS = 30;
/** x times the normal distribution function, whose series converges fast for small x. */
function gelu(x: number): number {
  let [term, sum] = [x / Math.SQRT2, x / Math.SQRT2];
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / 2 / n;
    sum += term / (2 * n + 1);
  }
  return 0.5 * x * (1 + (2 / Math.sqrt(Math.PI)) * sum);
}
const rowsOf = (k: number) => Array.from({ length: ROWS }, (_, r) => normals(100 * k + r, 6));

const fresh = (seed: number) => Model.fresh(gpu, MLP, `${seed}`, { seed, freeze: () => true, dtype: "f32" });
const valuesOf = async (model: Model, name: string) => {
  const { buffer, size } = model.parameters.get(name)!;
  return gpu.readFloats(buffer, size);
};

async function readersOf(seeds: readonly number[]): Promise<Reader[]> {
  return Promise.all(
    seeds.map(async (seed, k) => ({
      ref: `model ${k}`,
      model: await fresh(seed),
      batches: [stackExamples(rowsOf(k).map((x) => ({ x, shape: [6], label: 0 })))],
    })),
  );
}

test("rows come to every layer through the merged ones before it", async () => {
  const weights = [1, 2];
  const readers = await readersOf([1, 2]);
  const before = await Promise.all(
    readers.map(async ({ model }) => {
      const all = new Map<string, Float32Array>();
      for (const name of model.parameters.keys()) all.set(name, await valuesOf(model, name));
      return all;
    }),
  );
  let rows = readers.map((_, k) => rowsOf(k).map((row) => [...row]));
  const wanted = new Map<string, ArrayLike<number>>();
  for (const name of NAMES) {
    const side = rows[0]![0]!.length;
    const grams = rows.map((own) => gramOf(own.flat(), side));
    const own = before.map((all) => all.get(`${name}.weight`)!);
    const w = reference(own, grams, side, { reduce: 0.8, weights });
    const b = before[0]!.get(`${name}.bias`)!.map((x, i) => (x + 2 * before[1]!.get(`${name}.bias`)![i]!) / 3);
    wanted.set(`${name}.weight`, w);
    wanted.set(`${name}.bias`, b);
    rows = rows.map((own) =>
      own.map((row) => Array.from(b, (bias, o) => gelu(row.reduce((sum, x, i) => sum + x * w[o * side + i]!, bias)))),
    );
  }
  let heard = 0;
  await mergeThrough(readers, { reduce: 0.8, weights, signal, done: (count) => (heard += count) });
  expect(heard).toBe(2 * 3 * ROWS);
  for (const { model } of readers)
    for (const [name, values] of wanted)
      for (const [i, x] of (await valuesOf(model, name)).entries()) expect(x).toBeCloseTo(values[i]!, 4);
  for (const { model } of readers) model.free();
});

test("equal models keep their bits, and models of another size are refused", async () => {
  const readers = await readersOf([3, 3]);
  const own = await fresh(3);
  await mergeThrough(readers, { reduce: 0.9, weights: [1, 1], signal });
  for (const name of own.parameters.keys())
    expect(await valuesOf(readers[1]!.model, name)).toEqual(await valuesOf(own, name));
  const other = await Model.fresh(gpu, { ...MLP, hidden_sizes: [5, 7] }, "other", { seed: 1, freeze: () => true });
  const mixed = [readers[0]!, { ...readers[1]!, ref: "other", model: other }];
  expect(mergeThrough(mixed, { reduce: 0.9, weights: [1, 1], signal })).rejects.toThrow(
    "layers.1.weight is (4, 5) in model 0 and (7, 5) in other",
  );
});

test("a language model's parts are its blocks and what lies around them", async () => {
  const model = await Model.fresh(gpu, TINY_EXPERTS.mixtral!, "mixtral", { seed: 1, freeze: () => true });
  const parts = partsOf(model);
  expect(parts.map(({ isBlock, isMeasured }) => [isBlock, isMeasured])).toEqual([
    [false, false],
    [true, true],
    [true, true],
    [false, false],
  ]);
  model.free();
});

test("the command writes a model that all experts' rows come through, and equal models as they are", async () => {
  const run = (line: string) => runScript("merge", line.split(" "), folder);
  const json = TINY_EXPERTS.mixtral!;
  for (const [seed, name] of ["one", "two"].entries()) {
    const model = await Model.fresh(gpu, json, name, { seed });
    const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
    await saveModel(model, join(folder, `${name}/`), { files, lineage: [] });
    model.free();
    const rows = Array.from({ length: 8 }, (_, r) =>
      Array.from({ length: 9 }, (_, i) => (5 * r + 3 * i * i + seed) % 48),
    );
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((ids) => `${JSON.stringify({ input_ids: ids })}\n`).join(""));
  }
  const data = "--data one.jsonl --data two.jsonl";
  const same = await run(`regmean++ one one ${data} -q -o same.safetensors`);
  expect([same.code, same.err]).toEqual([0, ""]);
  const inspect = await runScript("inspect", ["one", "--diff", "same.safetensors", "-q"], folder);
  expect(inspect.code).toBe(0);
  const both = await run(`regmean++ one two ${data} --json -q -o merged/`);
  expect([both.code, both.err]).toEqual([0, ""]);
  expect(JSON.parse(both.text)).toMatchObject({ out: "merged/", rows: [8, 8] });
  expect(readFileSync(join(folder, "merged/config.json"), "utf8")).toContain("mixtral");
  const again = await run(`regmean++ one two ${data} -q -o again.safetensors`);
  expect(again.code).toBe(0);
  const lineage = await runScript("inspect", ["merged", "--command"], folder);
  expect(lineage.text).toContain("merge regmean++ one two --data one.jsonl --data two.jsonl -o");
  expect(lineage.text).not.toContain("--method");
  const [x, y] = [await runScript("inspect", ["merged", "--diff", "again.safetensors", "-q"], folder), both];
  expect([x.code, y.code]).toEqual([0, 0]);
  const plan = await run(`regmean++ one two ${data} -n --json -o plan/`);
  expect(JSON.parse(plan.text)).toMatchObject({ parts: 4, passes: 2, rows: [8, 8] });
  const few = await run("regmean++ one two --data one.jsonl -o x/");
  expect([few.code, few.err]).toEqual([2, expect.stringContaining("2 models and 1 file of rows")]);
});
