/** `compress --numbers`: files hold what the formats give, bit for bit, in the layout that holds them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import { quantizeRows } from "../../src/checkpoint/numbers/quantize-rows.ts";
import { open } from "../../src/checkpoint/open.ts";
import { matrixValues } from "../../src/checkpoint/quantized/matrix.ts";
import type { ScaleDtype } from "../../src/checkpoint/quantized/scales.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-numbers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (name: string, line: string) => runScript(name, line.split(" "), folder);

beforeAll(async () => {
  const config = {
    ...{ model_type: "llama", hidden_size: 64, intermediate_size: 128, num_hidden_layers: 1, num_attention_heads: 4 },
    ...{ vocab_size: 264, max_position_embeddings: 64, tie_word_embeddings: true },
  };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(config));
  await run("data", "addition --digits 1 --size 12 -o rows.jsonl -q");
  const { code } = await run("train", "--init tiny.json --tokenizer byte --data rows.jsonl --steps 2 -o base/ -q");
  expect(code).toBe(0);
});

test.each([
  ["fp8-e4m3", "float-quantized", "F32"],
  ["mxfp4", "mxfp4-pack-quantized", "F8_E8M0"],
  ["nvfp4", "nvfp4-pack-quantized", "F8_E4M3"],
  ["nf4", "bnb-4bit", "F32"],
] as const)("%s in %s", async (name, layout, scale) => {
  const line = `base/ --quant rtn --numbers ${name} -q`;
  const { code, err, text } = await run("compress", `${line} --json -o ${name}/`);
  expect([code, err]).toEqual([0, ""]);
  expect(JSON.parse(text)).toMatchObject({ matrices: 7, format: layout });
  const [before, after] = [await open(join(folder, "base"), {}), await open(join(folder, name), {})];
  const found = await loadMethod("number-format", name);
  if (found.kind !== "scaled") throw new Error(name);
  const format = { ...found, scale: scale as ScaleDtype };
  let compared = 0;
  for (const entry of after.tensors.values()) {
    if (!entry.codes) continue;
    const [rows, columns] = [entry.shape[0]!, entry.shape[1]!];
    const expected = quantizeRows(await mergeOnCpu(before.tensors.get(entry.name)!), rows, columns, format);
    const codes = await entry.codes.read(0, rows);
    expect([entry.name, Buffer.compare(codes.codes, expected.codes)]).toEqual([entry.name, 0]);
    expect(await mergeOnCpu(entry)).toEqual(matrixValues(expected));
    compared++;
  }
  expect(compared).toBe(7);
  before.close();
  after.close();
});

test.each([
  ["--quant rtn --numbers bf16", "--numbers bf16 is a type of plain values"],
  ["--quant rtn --numbers nf4 --bits 4", "--numbers nf4 has 4 bits, and --bits says others"],
  ["--quant gptq --calibration rows.jsonl --numbers mxfp4", "gptq chooses scales that are floats"],
  ["--quant rtn --numbers nf5", "unknown number format nf5"],
  ["--quant rtn --numbers nf4 --format gptq", "--format gptq cannot hold the result"],
])("%s is refused", async (line, said) => {
  const { code, err } = await run("compress", `base/ ${line} -o none/`);
  expect([code, err]).toEqual([2, expect.stringContaining(said)]);
});
