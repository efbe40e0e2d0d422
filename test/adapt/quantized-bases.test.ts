/** Adapters on quantised bases: every layout is decoded and then changed, in merges, evaluations and samples alike. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import { isFloat } from "../../src/checkpoint/dtype.ts";
import { open } from "../../src/checkpoint/open.ts";
import { loadRange } from "../../src/tensor/load.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { changesIn, factors, writeAdapter } from "./adapter-files.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-quantized-bases-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const GOLDEN = join(import.meta.dir, "../golden/quantized");
const modelIn = (name: string) => {
  const file = readdirSync(join(GOLDEN, name)).find((one) => one.endsWith(".gguf"));
  return file === undefined ? join(GOLDEN, name) : join(GOLDEN, name, file);
};
const layouts = readdirSync(GOLDEN).filter((name) => existsSync(join(GOLDEN, name, "case.json")));

test("there are layouts to try", () => expect(layouts.length).toBeGreaterThan(15));

test.each(layouts)("%s: base + adapter is the decoded base and the change", async (name) => {
  const base = await open(modelIn(name));
  const weights = [...base.tensors.values()].filter(
    ({ name: tensor, shape, dtype }) =>
      /layers\.0\..*_proj\.weight$/.test(tensor) && shape.length === 2 && isFloat(dtype),
  );
  const chosen = weights.slice(0, 2);
  expect(chosen.length).toBeGreaterThan(0);
  const sides = chosen.map((one) => [one.name.replace(/\.weight$/, ""), [one.shape[0]!, one.shape[1]!] as const]);
  const modules = Object.fromEntries(sides) as Record<string, readonly [number, number]>;
  const adapter = writeAdapter(at(name), factors(modules, 2, 3), { target_modules: Object.keys(modules) });
  const changes = await changesIn(adapter);
  const tuned = await open(`${modelIn(name)}+${adapter}`);
  expect(tuned.quantized).toEqual(base.quantized);
  for (const { name: tensor, dtype, bytes, shape, read } of chosen) {
    const before = new Uint8Array(bytes);
    await read(before, 0);
    const { change } = changes.get(tensor.replace(/\.weight$/, ""))!;
    const sum = decodeFloats(before, dtype).map((value, i) => value + change[i]!);
    const wanted = decodeFloats(encodeFloats(sum, dtype), dtype);
    const entry = tuned.tensors.get(tensor)!;
    const count = shape[0]! * shape[1]!;
    using held = gpu.buffer(4 * Math.ceil(count / 64) * 64, "weight");
    await loadRange(gpu, entry, 0, count, "F32", held.buffer, 0);
    const step = { F32: 1e-6, F16: 1e-3, BF16: 8e-3 }[dtype as string] ?? 1e-6;
    for (const found of [await mergeOnCpu(entry), await gpu.readFloats(held.buffer, count)])
      for (const [i, value] of found.entries())
        expect(Math.abs(value - wanted[i]!)).toBeLessThanOrEqual(step * Math.max(1, Math.abs(wanted[i]!)));
  }
  tuned.close();
  base.close();
});

const TINY = {
  ...{ model_type: "llama", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ num_key_value_heads: 2, vocab_size: 264, max_position_embeddings: 64, tie_word_embeddings: false },
};

beforeAll(async () => {
  writeFileSync(at("tiny.json"), JSON.stringify(TINY));
  writeFileSync(at("rows.jsonl"), '{"text": "one and two"}\n{"text": "three"}\n');
  const run = async (script: string, line: string) => {
    const { code, err } = await runScript(script, line.split(" "), folder);
    expect(code, err).toBe(0);
  };
  await run("train", "--init tiny.json --tokenizer byte --data rows.jsonl --steps 2 --batch-size 2 -o base");
  await run("train", "base --data rows.jsonl --steps 4 --lr 0.05 --batch-size 2 --lora --lora-rank 2 -o lora");
  await run("merge", "base --method passthrough --gguf-type q8_0 -o base.gguf");
  await run("merge", "base.gguf+lora --method passthrough -o whole");
}, 120_000);

test("merge, evaluate and sample take a quantised base with an adapter", async () => {
  const loss = async (model: string) => {
    const { code, text, err } = await runScript(
      "evaluate",
      [model, "--data", "rows.jsonl", "--metric", "loss", "--json"],
      folder,
    );
    expect(code, err).toBe(0);
    return Number(/"loss":\s*\{?[^\d-]*(-?[\d.]+)/.exec(text)![1]);
  };
  const [changed, whole, before] = [await loss("base.gguf+lora"), await loss("whole"), await loss("base.gguf")];
  expect(Math.abs(changed - whole)).toBeLessThan(2e-3);
  expect(Math.abs(changed - before)).toBeGreaterThan(0.01);
  const argv = (model: string) => [model, "one", "--max-tokens", "4", "--temperature", "0"];
  const [one, other] = [
    await runScript("sample", argv("base.gguf+lora"), folder),
    await runScript("sample", argv("whole"), folder),
  ];
  expect([one.code, one.text], one.err).toEqual([0, other.text]);
});

test("an adapter is extracted over a quantised base", async () => {
  const { code, err } = await runScript(
    "adapt",
    ["extract", "whole", "--base", "base.gguf", "--rank", "2", "-o", "again"],
    folder,
  );
  expect(code, err).toBe(0);
  const [lora, again] = [await changesIn(at("lora")), await changesIn(at("again"))];
  expect([...again.keys()].sort()).toEqual([...lora.keys()].sort());
  for (const [module, { change }] of lora) {
    const apart = Math.hypot(...change.map((value, i) => value - again.get(module)!.change[i]!));
    expect(apart / Math.hypot(...change)).toBeLessThan(0.05);
  }
});
