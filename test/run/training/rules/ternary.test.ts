/** Ternary weights in training: what the passes see, what moves, and what is left. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../../src/checkpoint/open.ts";
import { collate } from "../../../../src/data/batch.ts";
import { Model } from "../../../../src/model/model.ts";
import { TernaryWeights, ternaryMatrices } from "../../../../src/run/training/rules/ternary.ts";
import { runScript } from "../../../support/command.ts";
import { covers } from "../../../support/covers.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { logitsOf } from "../../../support/logits.ts";
import { halfEven } from "../../../support/rounding.ts";
import { TINY_DECODERS, TINY_TEXT } from "../../../support/tiny-models.ts";

covers("training/ternary");

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-ternary-"));
afterAll(() => rmSync(folder, { recursive: true }));

const read = (model: Model, name: string) => {
  const { buffer, size } = model.parameters.get(name)!;
  return gpu.readFloats(buffer, size);
};

/** Values of a stack of matrices as ternary ones, in f64. */
function reference(values: Float32Array, parts: number): number[] {
  const n = values.length / parts;
  return Array.from(values, (w, i) => {
    const own = values.subarray(Math.floor(i / n) * n, (Math.floor(i / n) + 1) * n);
    const g = own.reduce((sum, x) => sum + Math.abs(x), 0) / n;
    return g * Math.min(1, Math.max(-1, halfEven(w / (g + 1e-8))));
  });
}

test("passes see ternary matrices, each expert's of its own size, and the weights come back to the bit", async () => {
  const model = await Model.fresh(gpu, TINY_DECODERS.deepseek!, "m", { seed: 1 });
  const chosen = ternaryMatrices(model, ["*.mlp.experts.*"]);
  expect(chosen.length).toBeGreaterThan(0);
  expect(chosen.every(({ shape }) => shape.length === 3)).toBeTrue();
  const { name, shape } = chosen[0]!;
  const other = "model.layers.0.self_attn.q_proj.weight";
  const [before, rest] = [await read(model, name), await read(model, other)];
  const rule = new TernaryWeights(model, chosen);
  let seen: Float32Array | undefined;
  await rule.part(1, async ({ fresh }) => {
    expect(fresh).toBeTrue();
    seen = await read(model, name);
    expect(await read(model, other)).toEqual(rest);
  });
  const expected = reference(before, shape[0]!);
  expectWithin(seen!, expected, () => 1e-6);
  expect(new Set(seen!.map(Math.abs)).size).toBe(shape[0]! + 1);
  expect(await read(model, name)).toEqual(before);
  await rule.end();
  expect(await read(model, name)).toEqual(seen!);
  rule.free();
  model.free();
});

test("refuses patterns that name nothing, or a part of a stack", async () => {
  const model = await Model.fresh(gpu, TINY_DECODERS.deepseek!, "m", { seed: 1 });
  expect(() => ternaryMatrices(model, ["*.none.*"])).toThrow("names no matrix that is trained");
  expect(() => ternaryMatrices(model, ["*norm*"])).toThrow("names no matrix that is trained");
  expect(() => ternaryMatrices(model, ["*.mlp.experts.1.*"])).toThrow("names some experts of a stack");
  model.free();
});

test("a dense model is upcycled, trained with ternary experts, and packed at 2 bits without a loss", async () => {
  writeFileSync(join(folder, "tiny.json"), JSON.stringify({ ...TINY_TEXT.llama!, vocab_size: 264 }));
  const run = async (script: string, ...argv: string[]) => {
    const { code, err, text } = await runScript(script, argv, folder);
    expect([argv, code, code === 0 ? "" : err]).toEqual([argv, 0, ""]);
    return text;
  };
  await run("data", "addition", "--size", "16", "-o", "rows.jsonl");
  const few = ["--data", "rows.jsonl", "--steps", "2", "--batch-size", "2"];
  await run("train", "--init", "tiny.json", "--tokenizer", "byte", ...few, "-o", "dense");
  await run("compress", "upcycle", "dense", "--experts", "3", "-o", "mixture");
  await run("train", "mixture", ...few, "--lr", "1e-3", "--ternary", "*.mlp.experts.*", "-o", "trained");
  const tensors = async (name: string) => {
    const checkpoint = await open(join(folder, name));
    const values = new Map<string, Float32Array>();
    for (const entry of checkpoint.tensors.values()) {
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      values.set(entry.name, new Float32Array(bytes.buffer));
    }
    checkpoint.close();
    return values;
  };
  const [dense, mixture, trained] = [await tensors("dense"), await tensors("mixture"), await tensors("trained")];
  const up = (expert: string) => `model.layers.1.mlp.${expert}up_proj.weight`;
  for (const expert of ["experts.0.", "experts.2.", "shared_experts."])
    expect(mixture.get(up(expert))).toEqual(dense.get(up(""))!);
  expect(new Set(trained.get(up("experts.1."))!.map(Math.abs)).size).toBe(2);
  expect(new Set(trained.get(up("shared_experts."))!.map(Math.abs)).size).toBeGreaterThan(100);
  const packing = ["--quant", "rtn", "--bits", "2", "--symmetric", "--absmax", "--group", "-1"];
  await run("compress", "trained", ...packing, "--only", "*.mlp.experts.*", "-o", "packed");
  const packed = await tensors("packed");
  for (const [name, values] of trained) expect([name, packed.get(name)]).toEqual([name, values]);
});

const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });

test("a mixture whose experts give nothing is the dense model", async () => {
  const logits = async (name: string) => {
    const checkpoint = await open(join(folder, name));
    const model = await Model.load(gpu, checkpoint, { freeze: () => true });
    for (const { name, buffer, bytes } of model.parameters.values())
      if (/experts.*down_proj/.test(name) && !name.includes("shared")) gpu.clear(buffer, bytes);
    const found = await logitsOf(gpu, model, BATCH);
    model.free();
    checkpoint.close();
    return found;
  };
  const [dense, mixture] = [await logits("dense"), await logits("mixture")];
  const most = Math.max(...dense.map(Math.abs));
  expectWithin(mixture, dense, () => 1e-6 * most);
});

test("refuses more experts for a token than there are, and models that are no llama", async () => {
  const few = await runScript("compress", ["upcycle", "dense", "--top-k", "9", "-n"], folder);
  expect([few.code, few.err.includes("--top-k 9 of --experts 4")]).toEqual([2, true]);
  const again = await runScript("compress", ["upcycle", "mixture", "-n"], folder);
  expect([again.code, again.err.includes("deepseek cannot be upcycled")]).toEqual([2, true]);
});
