/** Hydra: what it folds to in plain arithmetic, LoRA as its half, how many numbers it has, and what is refused. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { changeRows } from "../../../src/checkpoint/adapter/patch.ts";
import { isRowPatch, type TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loraChoice } from "../../../src/model/adapters/lora/type.ts";
import { method } from "../../../src/model/adapters/methods/hydra.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { loadRange } from "../../../src/tensor/load.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();

test.each([false, true])(
  "folds to (I + s B A) W + s' B' A' and (I + s B A) b; stored (in, out): %p",
  async (transposed) => {
    const [out, into, parallel, sequential] = [5, 3, 1, 2];
    const shapes = {
      hydra_parallel_A: [parallel, into],
      hydra_parallel_B: [out, parallel],
      hydra_sequential_A: [sequential, out],
      hydra_sequential_B: [out, sequential],
    };
    const tensors = new Map(
      Object.entries(shapes).map(([name, shape], i) => [
        name,
        { shape, values: normals(i + 1, shape[0]! * shape[1]!) },
      ]),
    );
    const tensor = (part: string) => tensors.get(part)!;
    const module = { module: "m", into, out, transposed, tensor, shared: tensor };
    const json = {
      ...{ hydra_parallel: parallel, hydra_sequential: sequential },
      ...{ hydra_parallel_scale: 3, hydra_sequential_scale: 0.5 },
    };
    const [found] = await method.format!.fold!(json, "here", [module]);
    const weight = normals(9, out * into);
    const bias = normals(10, out);
    const at = (name: string, row: number, column: number) =>
      tensor(name).values[row * tensor(name).shape[1]! + column]!;
    const sum = (count: number, value: (k: number) => number): number =>
      Array.from({ length: count }, (_, k) => value(k)).reduce((a, b) => a + b, 0);
    // M (out, out), of which W and b are seen through.
    const through = (o: number, p: number) =>
      (o === p ? 1 : 0) + 0.5 * sum(sequential, (r) => at("hydra_sequential_B", o, r) * at("hydra_sequential_A", r, p));
    const patch = found!.weight!;
    if (!isRowPatch(patch)) throw new Error("expected a change of rows");
    const stored = (o: number, i: number) => (transposed ? i * out + o : o * into + i);
    const changed = changeRows(patch, weight.slice(), transposed ? [into, out] : [out, into]);
    for (let o = 0; o < out; o++)
      for (let i = 0; i < into; i++) {
        const wanted =
          sum(out, (p) => through(o, p) * weight[stored(p, i)]!) +
          3 * sum(parallel, (r) => at("hydra_parallel_B", o, r) * at("hydra_parallel_A", r, i));
        expect(changed[stored(o, i)]!).toBeCloseTo(wanted, 4);
      }
    const after = bias.slice();
    found!.wholeBias!(after);
    for (let o = 0; o < out; o++)
      expect(after[o]!).toBeCloseTo(
        sum(out, (p) => through(o, p) * bias[p]!),
        5,
      );
  },
);

test("rows that hang on others are changed together, whatever stretch of them is loaded", async () => {
  const [rows, columns] = [6, 4];
  const values = normals(5, rows * columns);
  const patch = { change: (all: Float32Array) => void all.reverse(), transposed: false, together: true as const };
  const bytes = new Uint8Array(values.buffer);
  const entry: TensorEntry = {
    ...{ name: "w", dtype: "F32", shape: [rows, columns], bytes: bytes.length, patch },
    read: async (into, offset) => into.set(bytes.subarray(offset, offset + into.length)),
  };
  using into = gpu.buffer(4 * 2 * columns, "two rows");
  await loadRange(gpu, entry, columns, 2 * columns, "F32", into.buffer, 0);
  const wanted = values.toReversed().slice(columns, 3 * columns);
  expect(await gpu.readFloats(into.buffer, 2 * columns)).toEqual(wanted);
});

const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 4, 8);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });
const hydra = (values: Readonly<Record<string, unknown>>, targets?: readonly string[]) => ({
  type: bindDefaults(method, values),
  seed: 1,
  targets,
});

test.each(["llama", "gpt2"])("without the branch on outputs it is LoRA, on %s", async (name) => {
  const targets = [name === "gpt2" ? "mlp.c_proj" : "down_proj", name === "gpt2" ? "c_attn" : "q_proj"];
  const logits = [];
  for (const adapter of [
    hydra({ hydra_parallel: 3, hydra_sequential: 0, hydra_parallel_scale: 2 }, targets),
    loraChoice({ rank: 3, alpha: 6, seed: 1, targets }),
  ]) {
    const model = await Model.fresh(gpu, TINY_TEXT[name]!, name, { seed: 3, adapter });
    for (const [i, parameter] of model.trainable().entries()) parameter.write(normals(i, parameter.size, 0.4));
    logits.push(await logitsOf(gpu, model, BATCH));
    model.free();
  }
  const [found, wanted] = logits as [Float32Array, Float32Array];
  for (const [i, x] of wanted.entries()) expect(found[i]!).toBeCloseTo(x, 4);
});

test("the last layers of MLPs are adapted, with r (in + out) numbers on the input and 2 r out on the output", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 3, adapter: hydra({}) });
  const names = model.trainable().map((parameter) => parameter.name);
  expect(names.every((name) => name.includes("mlp.down_proj"))).toBe(true);
  const size = model.trainable().reduce((all, parameter) => all + parameter.size, 0);
  expect(size).toBe(2 * (2 * (40 + 24) + 2 * 2 * 24)); // two blocks
  model.free();
});

test("an adapter without a branch is refused", () => {
  const adapter = hydra({ hydra_parallel: 0, hydra_sequential: 0 });
  expect(Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 3, adapter })).rejects.toThrow(
    "both branches have rank 0",
  );
});

test("taken out of the model it is a plain LoRA of the ranks of both branches, with the bias that it moves", async () => {
  const made = mkdtempSync(join(tmpdir(), "ingot-hydra-"));
  const name = "llama with llama3 scaling and biases";
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(TINY_TEXT[name]))]]);
  const adapter = hydra({ hydra_parallel: 1, hydra_sequential: 2, hydra_sequential_scale: 0.5 });
  const model = await Model.fresh(gpu, TINY_TEXT[name]!, name, { seed: 3, adapter });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.name.endsWith(".bias")) parameter.write(normals(i, parameter.size, 0.3));
  for (const [i, parameter] of model.trainable().entries()) parameter.write(normals(i, parameter.size, 0.4));
  const wanted = await logitsOf(gpu, model, BATCH);
  await saveModel(model, join(made, "branches"), { files: new Map(), lineage: [] });
  await saveModel(model, join(made, "base"), { files, lineage: [], base: true, dtype: "held" });
  model.free();
  const argv = "extract base+branches --base base -q -o plain".split(" ");
  expect((await runScript("adapt", argv, made)).err).toBe("");
  const config = JSON.parse(readFileSync(join(made, "plain/adapter_config.json"), "utf8"));
  expect([config.peft_type, config.r, config.bias]).toEqual(["LORA", 3, "all"]);
  const plain = await Model.load(gpu, await open(`${join(made, "base")}+${join(made, "plain")}`), {});
  const found = await logitsOf(gpu, plain, BATCH);
  plain.free();
  rmSync(made, { recursive: true });
  expect(Math.max(...found.map((x, i) => Math.abs(x - wanted[i]!)))).toBeLessThan(1e-4);
});
