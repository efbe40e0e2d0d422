/** Fisher information against float64, and what `evaluate --probe fisher` writes for `merge --method fisher`. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { collate, type NumbersBatch, stackExamples } from "../../../src/data/batch.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { checkExact, type FisherLabels, measureFisher } from "../../../src/run/fisher/fisher.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { finiteDifference } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-fisher-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();

type Sums = Map<string, Float32Array>;

async function measured(model: Model, rows: Parameters<typeof measureFisher>[1], labels: FisherLabels, seed = 0) {
  const sums = await measureFisher(model, rows, { labels, seed, signal });
  const found: Sums = new Map();
  for (const [{ name, size }, { buffer }] of sums.of) found.set(name, await gpu.readFloats(buffer, size));
  sums.free();
  return found;
}

const INPUT = 4;
const CLASSES = 3;
const MLP: Json = {
  model_type: "mlp",
  input_size: INPUT,
  hidden_sizes: [5],
  num_labels: CLASSES,
  hidden_act: "relu",
};
const row = (seed: number, label = seed % CLASSES): NumbersBatch =>
  stackExamples([{ x: normals(50 + seed, INPUT), shape: [INPUT], label }]);

/** Log-probabilities in float64. */
function logProbabilities(weights: ReadonlyMap<string, ArrayLike<number>>, x: ArrayLike<number>): number[] {
  const layer = (module: string, input: readonly number[]) => {
    const bias = weights.get(`${module}.bias`)!;
    const matrix = weights.get(`${module}.weight`)!;
    return Array.from(bias, (b, o) => input.reduce((sum, v, i) => sum + v * matrix[o * input.length + i]!, b));
  };
  const z = layer(
    "classifier",
    layer("layers.0", Array.from(x)).map((h) => Math.max(0, h)),
  );
  const total = Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0));
  return z.map((v) => v - total);
}

/** Mean over rows of sum_c q_c (d log p_c)^2, q the probabilities, or 1 for the row's own label. */
function reference(weights: Sums, rows: readonly NumbersBatch[], own: boolean): Map<string, Float64Array> {
  const found = new Map<string, Float64Array>();
  for (const [name, values] of weights) {
    const sum = new Float64Array(values.length);
    for (const { x, labels } of rows) {
      const at = (changed: Float64Array) =>
        logProbabilities(new Map<string, ArrayLike<number>>([...weights, [name, changed]]), x);
      const p = at(Float64Array.from(values));
      for (let c = 0; c < CLASSES; c++) {
        const q = own ? Number(labels[0] === c) : Math.exp(p[c]!);
        const slopes = finiteDifference((changed) => Float64Array.of(at(changed)[c]!), values, [1]);
        for (const [i, g] of slopes.entries()) sum[i]! += (q * g * g) / rows.length;
      }
    }
    found.set(name, sum);
  }
  return found;
}

function expectNear(found: Sums, wanted: ReadonlyMap<string, ArrayLike<number>>, share: number) {
  expect([...found.keys()].toSorted()).toEqual([...wanted.keys()].toSorted());
  for (const [name, values] of wanted) {
    const most = Array.from(values).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    for (const [i, value] of Array.from(values).entries())
      expect(Math.abs(found.get(name)![i]! - value)).toBeLessThanOrEqual(share * most);
  }
}

describe("a classifier", () => {
  const rows = [1, 2, 3, 4].map((seed) => row(seed));

  test("exact labels give every class at its probability, and own labels theirs alone, as in float64", async () => {
    const model = await Model.fresh(gpu, MLP, "mlp", { seed: 2 });
    const weights: Sums = new Map();
    for (const { name, buffer, size } of model.trainable()) weights.set(name, await gpu.readFloats(buffer, size));
    expectNear(await measured(model, rows, "exact"), reference(weights, rows, false), 1e-3);
    expectNear(await measured(model, rows, "empirical"), reference(weights, rows, true), 1e-3);
    model.free();
  });

  test("drawn labels come to the exact ones over many draws, and are the seed's", async () => {
    const model = await Model.fresh(gpu, MLP, "mlp", { seed: 3 });
    const many = Array.from({ length: 900 }, () => row(7));
    const drawn = await measured(model, many, "sampled");
    expectNear(drawn, await measured(model, [row(7)], "exact"), 0.15);
    expect(await measured(model, many.slice(0, 9), "sampled", 4)).toEqual(
      await measured(model, many.slice(0, 9), "sampled", 4),
    );
    expect(await measured(model, many.slice(0, 9), "sampled", 5)).not.toEqual(
      await measured(model, many.slice(0, 9), "sampled", 4),
    );
    model.free();
  });
});

describe("a language model", () => {
  const json = { ...TINY_TEXT.llama!, vocab_size: 8 } as Json;
  const rowOf = (ids: readonly number[], counted: number) =>
    collate([
      [
        {
          ids: Int32Array.from(ids),
          labels: Int32Array.from(ids, (id, i) => (i < ids.length - counted ? -100 : id)),
          group: 0,
          place: "",
        },
      ],
    ]);

  test("drawn labels come to the exact ones, position by position", async () => {
    const model = await Model.fresh(gpu, json, "llama", { seed: 1 });
    const one = rowOf([1, 5, 2, 7, 3], 3);
    const exact = await measured(model, [one], "exact");
    const drawn = await measured(
      model,
      Array.from({ length: 240 }, () => one),
      "sampled",
    );
    const total = (sums: Sums) => [...sums.values()].flatMap((x) => [...x]).reduce((a, b) => a + b, 0);
    expect(Math.abs(total(drawn) / total(exact) - 1)).toBeLessThan(0.15);
    expectNear(
      new Map([["lm_head.weight", drawn.get("lm_head.weight")!]]),
      new Map([["lm_head.weight", exact.get("lm_head.weight")!]]),
      0.2,
    );
    model.free();
  });

  test("rows with too many outputs to go through are refused", () => {
    expect(() => checkExact([rowOf([1, 2, 3], 2)], 32_769)).toThrow("row 1 has 2 positions of 32769 outputs");
    checkExact([rowOf([1, 2, 3], 2)], 32_768);
  });
});

/** Values of a file by name. */
async function valuesIn(file: string): Promise<Sums> {
  const opened = await openPlain(file);
  const found: Sums = new Map();
  for (const { name, bytes, read } of opened.tensors.values()) {
    const held = new Uint8Array(bytes);
    await read(held, 0);
    found.set(name, new Float32Array(held.buffer));
  }
  opened.close();
  return found;
}

describe("from the probe to the merge", () => {
  const run = (name: string, line: string) => runScript(name, line.split(" "), folder);

  test("experts are weighed one by one, and nothing is averaged plainly", async () => {
    const json = TINY_EXPERTS.mixtral!;
    for (const [seed, name] of ["one", "two"].entries()) {
      const model = await Model.fresh(gpu, json, name, { seed });
      const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
      await saveModel(model, join(folder, `${name}/`), { files, lineage: [] });
      model.free();
    }
    const rows = [3, 4, 5].map((first) => `${JSON.stringify({ input_ids: [first, 9, 11, first + 5] })}\n`);
    writeFileSync(join(folder, "rows.jsonl"), rows.join(""));
    for (const name of ["one", "two"]) {
      const ran = await run(
        "evaluate",
        `${name} --data rows.jsonl --probe fisher --fisher-save ${name}.safetensors -q`,
      );
      expect([ran.code, ran.err]).toEqual([0, ""]);
    }
    const merged = await run(
      "merge",
      "one two --method fisher --stats one.safetensors,two.safetensors --balance false -q -o merged.safetensors",
    );
    expect([merged.code, merged.err]).toEqual([0, ""]);
    const [a, b, f, g, found] = await Promise.all(
      [
        "one/model.safetensors",
        "two/model.safetensors",
        "one.safetensors",
        "two.safetensors",
        "merged.safetensors",
      ].map((file) => valuesIn(join(folder, file))),
    );
    expect([...f!.keys()].toSorted()).toEqual([...a!.keys()].toSorted());
    const name = "model.layers.1.block_sparse_moe.experts.2.w1.weight";
    expect(f!.get(name)!.some((x) => x > 0)).toBe(true);
    for (const [key, values] of found!) {
      const wanted = values.map((_, i) => {
        const [x, y] = [f!.get(key)![i]! + 1e-6, g!.get(key)![i]! + 1e-6];
        return (x * a!.get(key)![i]! + y * b!.get(key)![i]!) / (x + y);
      });
      expectNear(new Map([[key, values]]), new Map([[key, wanted]]), 1e-5);
    }
  });

  test("what cannot be written is refused before work, and a plan says what would be", async () => {
    const two = await run("evaluate", "one two --data rows.jsonl --probe fisher --fisher-save x.safetensors");
    expect([two.code, two.err]).toEqual([2, expect.stringContaining("--fisher-save is one file, and there are 2")]);
    const bad = await run("evaluate", "one --data rows.jsonl --probe fisher --fisher-save x.bin");
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining("does not end with .safetensors")]);
    const own = await run("evaluate", "one --data rows.jsonl --probe fisher --fisher-save one/model.safetensors");
    expect([own.code, own.err]).toEqual([2, expect.stringContaining("is read by this run")]);
    const many = await run("evaluate", "one --data rows.jsonl --probe fisher --fisher-rows 9");
    expect([many.code, many.err]).toEqual([2, expect.stringContaining("there are 3 rows")]);
    const plan = await run("evaluate", "one --data rows.jsonl --probe fisher --fisher-save x.safetensors -n");
    expect(plan.text).toContain("tensors to x.safetensors");
  });
});
