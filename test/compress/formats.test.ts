/** `compress --quant`: what the layouts of tools hold is what plain values say, bit for bit. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { open } from "../../src/checkpoint/open.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-formats-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CONFIG = {
  ...{ model_type: "llama", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, vocab_size: 264, max_position_embeddings: 64, tie_word_embeddings: true },
};

async function run(name: string, line: string): Promise<{ out: string; err: string; code: number }> {
  const { text, err, code } = await runScript(name, line.split(" "), folder);
  return { out: text, err, code };
}
const succeeds = async (name: string, line: string): Promise<string> => {
  const { out, err, code } = await run(name, line);
  expect([line, code, err]).toEqual([line, 0, ""]);
  return out;
};

beforeAll(async () => {
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(CONFIG));
  await succeeds("data", "addition --digits 1 --size 12 -o rows.jsonl -q");
  await succeeds("train", "--init tiny.json --tokenizer byte --data rows.jsonl --steps 2 -o base/ -q");
});

/** Values of a folder's tensors, decoded. */
async function values(name: string): Promise<Map<string, Float32Array>> {
  const opened = await open(join(folder, name), {});
  const found = new Map<string, Float32Array>();
  for (const [name, entry] of opened.tensors) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(name, decodeFloats(bytes, entry.dtype));
  }
  opened.close();
  return found;
}

const RTN = "compress base/ --quant rtn --group 32 -q";

test.each([
  ["compressed-tensors", "", "pack-quantized"],
  ["gptq", "", "gptq"],
  ["gptq-v2", "", "gptq-v2"],
  ["awq", "", "awq"],
  ["compressed-tensors", " --bits 8 --group -1 --symmetric", "pack-quantized"],
  ["bnb-int8", " --bits 8 --group -1 --symmetric --absmax", "bnb-int8"],
  ["auto", " --bits 3", "gptq"],
  ["gptq", " --bits 4,*.down_proj.*=8", "gptq"],
])("%s%s", async (format, options, told) => {
  const line = `base/ --quant rtn ${options.includes("--group") ? "" : "--group 32"}${options}`.replace(/ +/g, " ");
  await succeeds("compress", `${line} --format dense -q -o dense/ --overwrite`);
  const text = await succeeds("compress", `${line} --format ${format} -q -o codes/ --overwrite --json`);
  expect(JSON.parse(text)).toMatchObject({ matrices: 14, format: told });
  const [plain, codes] = [await values("dense"), await values("codes")];
  expect([...codes.keys()].sort()).toEqual([...plain.keys()].sort());
  for (const [name, own] of plain) expect([name, codes.get(name)]).toEqual([name, own]);
});

test("columns that go in another order keep their groups", async () => {
  const line = "base/ --quant gptq --act-order --group 16 --calibration rows.jsonl -q";
  await succeeds("compress", `${line} --format dense -o ordered-dense/`);
  const plain = await values("ordered-dense");
  for (const format of ["gptq", "compressed-tensors"]) {
    await succeeds("compress", `${line} --format ${format} -o ordered-${format}/`);
    expect(await values(`ordered-${format}`)).toEqual(plain);
  }
});

test("a quantizer with offsets is held as it is by MLX, and refused by layouts of zero points", async () => {
  const line = "base/ --quant decoupleq --group 32 --bits 3 --only *.0.self_attn.* --calibration rows.jsonl -q";
  await succeeds("compress", `${line} --format dense -o decoupled/`);
  expect(JSON.parse(await succeeds("compress", `${line} -o codes-of-it/ --json`))).toMatchObject({ format: "mlx" });
  expect(await values("codes-of-it")).toEqual(await values("decoupled"));
  const { err, code } = await run("compress", `${line} --format gptq -o bad/`);
  expect([code, err]).toEqual([2, expect.stringContaining("it has zero points, no offsets")]);
});

test("offsets of MLX are those of the zero points, rounded as they are stored", async () => {
  await succeeds("compress", `${RTN.replace("compress ", "")} --format mlx -o mlx/`);
  await succeeds("compress", `${RTN.replace("compress ", "")} --format dense -o rtn/`);
  const [codes, plain] = [await values("mlx"), await values("rtn")];
  for (const [name, own] of plain)
    for (const [i, x] of own.entries()) expect(Math.abs(codes.get(name)![i]! - x)).toBeLessThan(1e-6);
});

test("what a format cannot hold is refused before the work, with the matrix and why", async () => {
  const { err, code } = await run("compress", "base/ --quant rtn --bits 5 --format awq -o bad/ -q");
  expect([code, err]).toEqual([
    2,
    expect.stringContaining("model.layers.0.self_attn.q_proj.weight: its bits is 4, not 5"),
  ]);
  const gguf = await run("compress", "base/ --quant rtn --format gptq -o bad.gguf -q");
  expect([gguf.code, gguf.err]).toEqual([2, expect.stringContaining("a GGUF file holds no codes of gptq")]);
  const none = await run("compress", "base/ --quant gptq -o bad/ -q");
  expect([none.code, none.err]).toEqual([2, expect.stringContaining("--calibration is missing")]);
});
