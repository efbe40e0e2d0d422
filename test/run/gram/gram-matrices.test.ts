/** Gram matrices against what the layers are known to read, and `evaluate gram` with `merge --method regmean`. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { type Batch, collate, stackExamples, type TokenBatch } from "../../../src/data/batch.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { measureActivationSquares } from "../../../src/run/activation-squares.ts";
import { measureGramMatrices } from "../../../src/run/gram/gram-matrices.ts";
import { sizeOf } from "../../../src/tensor/tensor.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-gram-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();

async function measured(model: Model, batches: readonly Batch[], only?: (module: string) => boolean) {
  using grams = await measureGramMatrices(model, batches, { signal, ...(only && { only }) });
  const found = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  for (const { name, shape, buffer, start } of grams.matrices()) {
    const sums = await gpu.readFloats(buffer, sizeOf(shape), 4 * start);
    found.set(name, { shape, values: sums.map((sum) => sum * grams.share) });
  }
  return found;
}

const tokens = (rows: readonly (readonly number[])[]): TokenBatch =>
  collate(
    rows.map((ids) => [{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "" }]),
    { pad: 3 },
  );
const ROWS = [
  [5, 9, 2, 11, 30],
  [7, 1, 14],
  [40, 41, 42, 43, 44, 45, 46],
];

test("a perceptron's first layer reads the rows, its head what the layer gives", async () => {
  const json: Json = { model_type: "mlp", input_size: 4, hidden_sizes: [3], num_labels: 2, hidden_act: "relu" };
  const model = await Model.fresh(gpu, json, "mlp", { seed: 1 });
  const x = Array.from({ length: 5 }, (_, r) => normals(r + 1, 4));
  const stack = (rows: Float32Array[]) => stackExamples(rows.map((x) => ({ x, shape: [4], label: 0 })));
  const found = await measured(model, [stack(x.slice(0, 3)), stack(x.slice(3))]);
  const read = async (name: string) => {
    const parameter = model.parameters.get(name)!;
    return gpu.readFloats(parameter.buffer, parameter.size);
  };
  const [w, b] = [await read("layers.0.weight"), await read("layers.0.bias")];
  const hidden = x.map((row) =>
    Array.from({ length: 3 }, (_, o) =>
      Math.max(
        0,
        row.reduce((sum, v, i) => sum + v * w[o * 4 + i]!, b[o]!),
      ),
    ),
  );
  for (const [name, rows] of [
    ["layers.0.weight", x.map((row) => [...row])],
    ["classifier.weight", hidden],
  ] as const) {
    const side = rows[0]!.length;
    const { shape, values } = found.get(name)!;
    expect(shape).toEqual([side, side]);
    for (const [at, value] of values.entries()) {
      const sum = rows.reduce((total, row) => total + row[at % side]! * row[Math.floor(at / side)]!, 0);
      expect(value).toBeCloseTo(sum / 5, 5);
    }
  }
  model.free();
});

describe.each([
  ["a decoder", TINY_TEXT.llama!],
  ["experts", TINY_EXPERTS.mixtral!],
  ["inputs first", { model_type: "gpt2", n_embd: 12, n_head: 3, n_layer: 2, n_positions: 32, vocab_size: 50 }],
])("%s", (_, json) => {
  test("diagonals are the sums of squares, padding and batches do not count, and matrices are symmetric", async () => {
    const model = await Model.fresh(gpu, json as Json, "model", { seed: 2 });
    const found = await measured(model, [tokens(ROWS)]);
    const squares = await measureActivationSquares(model, [tokens(ROWS)], { signal });
    const names = model.stored.map(({ name }) => name);
    for (const [module, { columns, sums, counts }] of squares) {
      for (let part = 0; part < counts.length; part++) {
        const inFirst = json.model_type === "gpt2" ? "@in-first" : "";
        const split = module.replace(/\.experts\./, `.experts.${part}.`);
        const { values } = found.get(`${split}.weight${inFirst}`)!;
        expect(names).toContain(`${split}.weight`);
        for (let i = 0; i < columns; i++) {
          const wanted = sums[part * columns + i]! / 15;
          expect(Math.abs(values[i * columns + i]! - wanted)).toBeLessThanOrEqual(1e-5 * Math.abs(wanted) + 1e-12);
          for (let j = 0; j < i; j++) expect(values[i * columns + j]).toBeCloseTo(values[j * columns + i]!, 5);
        }
      }
    }
    expect([...squares.keys()].length).toBeGreaterThan(6);
    const apart = await measured(
      model,
      ROWS.map((row) => tokens([row])),
    );
    for (const [name, { values }] of found)
      for (const [i, value] of apart.get(name)!.values.entries())
        expect(Math.abs(value - values[i]!)).toBeLessThan(1e-5 + 1e-4 * Math.abs(value));
    const few = await measured(model, [tokens(ROWS)], (module) => /(layers|h)\.1\./.test(module));
    expect([...few.keys()]).toEqual([...found.keys()].filter((name) => /(layers|h)\.1\./.test(name)));
    model.free();
  });
});

test("from rows to a merged model, whose experts are solved for too", async () => {
  const run = (name: string, line: string) => runScript(name, line.split(" "), folder);
  const json = TINY_EXPERTS.mixtral!;
  for (const [seed, name] of ["one", "two"].entries()) {
    const model = await Model.fresh(gpu, json, name, { seed });
    const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
    await saveModel(model, join(folder, `${name}/`), { files, lineage: [] });
    model.free();
  }
  const rows = (shift: number) =>
    Array.from(
      { length: 12 },
      (_, r) =>
        `${JSON.stringify({ input_ids: Array.from({ length: 9 }, (_, i) => (7 * r + 3 * i * i + shift) % 48) })}\n`,
    ).join("");
  for (const [shift, name] of ["one", "two"].entries()) {
    writeFileSync(join(folder, `${name}.jsonl`), rows(shift));
    const line = `gram ${name} --data ${name}.jsonl --batch-size 5 -q -o ${name}.gram.safetensors`;
    const { code, err } = await run("evaluate", line);
    expect([code, err]).toEqual([0, ""]);
  }
  const stats = "--stats one.gram.safetensors,two.gram.safetensors";
  const merged = await run("merge", `one two --method regmean ${stats} -q -o merged.safetensors`);
  expect([merged.code, merged.err]).toEqual([0, ""]);
  const plan = await run("merge", `one two --method regmean ${stats} -n --json -o x.safetensors`);
  expect(JSON.parse(plan.text).host_memory).toBeGreaterThan(0);
  const [mean, found] = await Promise.all(
    ["linear", "regmean"].map(async (method) => {
      const out = `${method}.safetensors`;
      const line = `one two --method ${method} ${method === "linear" ? "" : `${stats} `}-q -o ${out}`;
      await run("merge", line);
      const opened = await openPlain(join(folder, out));
      const values = new Map<string, Uint8Array>();
      for (const { name, bytes, read } of opened.tensors.values()) {
        const held = new Uint8Array(bytes);
        await read(held, 0);
        values.set(name, held);
      }
      opened.close();
      return values;
    }),
  );
  const solved = [...found!].flatMap(([name, bytes]) => (Buffer.compare(bytes, mean!.get(name)!) ? [name] : []));
  expect(solved).toContain("model.layers.1.block_sparse_moe.experts.2.w2.weight");
  expect(solved).toContain("model.layers.0.self_attn.q_proj.weight");
  expect(solved.some((name) => /norm|embed|lm_head/.test(name))).toBe(false);
  const own = await run("evaluate", "gram one --data one.jsonl -o one/model.safetensors");
  expect([own.code, own.err]).toEqual([2, expect.stringContaining("is read by this run")]);
});
