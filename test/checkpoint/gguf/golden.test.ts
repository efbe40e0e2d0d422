/**
 * Quantized GGUF files whose dequantized twins, logits and token ids the reference tools gave (test/golden/quantized,
 * README there).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { mergeOnCpu } from "../../../src/checkpoint/adapter/adapter.ts";
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { loadTokenizer } from "../../../src/data/load-tokenizer.ts";
import { Model } from "../../../src/model/model.ts";
import { readTensors, relativeError } from "../../golden/formats/tensors.ts";
import { logitsOf } from "../../golden/formats/train.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { noise } from "../adapter/fixture.ts";
import { bytesOf, fileOf, type Made } from "../sample.ts";

const GOLDEN = path.join(import.meta.dir, "../../golden/quantized");
const CASES = fs
  .readdirSync(GOLDEN)
  .filter((name) => name.startsWith("gguf-"))
  .sort();

interface Case {
  input_ids: number[][];
  dequantised: string[];
  tokenizer: { texts: string[]; ids: number[][] };
}
const caseOf = (name: string): Case => JSON.parse(fs.readFileSync(`${GOLDEN}/${name}/case.json`, "utf8"));
const ggufOf = (name: string): string => `${GOLDEN}/${name}/model.gguf`;

let top: string;
beforeAll(() => {
  top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-golden-"));
});
afterAll(() => fs.rmSync(top, { recursive: true }));

test("what was decoded is told: type, bits, blocks, and what it takes in the file", async () => {
  const checkpoint = await open(ggufOf("gguf-q8_0"));
  expect(checkpoint.quantized).toEqual([
    { layout: "GGUF Q8_0", bits: 8, group: "blocks of 32", tensors: 16, bytes: expect.any(Number) },
  ]);
  const decoded = [...checkpoint.tensors.values()].filter(({ shape }) => shape.length === 2);
  const values = decoded.reduce((sum, { bytes }) => sum + bytes / 4, 0);
  expect(checkpoint.quantized![0]!.bytes).toBe((values / 32) * 34);
  checkpoint.close();
  const plain = await open(ggufOf("gguf-f16-spm"));
  expect(plain.quantized).toBeUndefined();
  plain.close();
});

test("there are five cases", () => expect(CASES.length).toBe(5));

describe.each(CASES)("%s", (name) => {
  test("weights are those of the twin, to the bit", async () => {
    const checkpoint = await open(ggufOf(name));
    const twin = await readTensors(`${GOLDEN}/${name}/expected.safetensors`);
    for (const tensor of caseOf(name).dequantised) {
      const entry = checkpoint.tensors.get(tensor)!;
      const wanted = twin.get(`weight.${tensor}`)!;
      expect([tensor, entry.shape]).toEqual([tensor, wanted.shape]);
      expect([tensor, relativeError(await mergeOnCpu(entry), wanted.data)]).toEqual([tensor, 0]);
    }
    checkpoint.close();
  });

  test("a range is the same as that of the whole", async () => {
    const checkpoint = await open(ggufOf(name));
    for (const tensor of caseOf(name).dequantised) {
      const entry = checkpoint.tensors.get(tensor)!;
      const whole = await bytesOf(entry);
      for (const [start, length] of [
        [1, 7],
        [entry.bytes - 130, 130],
        [Math.floor(entry.bytes / 3), Math.floor(entry.bytes / 2)],
      ] as const) {
        const part = new Uint8Array(length);
        await entry.read(part, start);
        expect(Buffer.compare(part, whole.subarray(start, start + length))).toBe(0);
      }
    }
    checkpoint.close();
  });

  test("logits are those of the twin", async () => {
    const gpu = await sharedGpu();
    const checkpoint = await open(ggufOf(name));
    const model = await Model.load(gpu, checkpoint, { dtype: "f32" });
    const rows = caseOf(name).input_ids.map((ids, i) => [
      { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: `row ${i}` },
    ]);
    const wanted = (await readTensors(`${GOLDEN}/${name}/expected.safetensors`)).get("logits")!;
    expect(relativeError(await logitsOf(gpu, model, collate(rows, { buckets: "none" })), wanted.data)).toBeLessThan(
      1e-5,
    );
    model.free();
    checkpoint.close();
  }, 120_000);

  test("the metadata becomes the config that is wanted", async () => {
    const checkpoint = await open(ggufOf(name));
    const found = JSON.parse(new TextDecoder().decode(checkpoint.files.get("config.json")));
    // Of the dtype the file says nothing; the others are what transformers fills in, and no number depends on them.
    const { torch_dtype, use_cache, initializer_range, ...wanted } = JSON.parse(
      fs.readFileSync(`${GOLDEN}/${name}/expected-config.json`, "utf8"),
    );
    expect(found).toMatchObject(wanted);
    checkpoint.close();
  });

  test("the tokenizer in the metadata gives the ids, and their text again", async () => {
    const checkpoint = await open(ggufOf(name));
    const tokenizer = await loadTokenizer(checkpoint.files, name);
    const { texts, ids } = caseOf(name).tokenizer;
    for (const [i, text] of texts.entries()) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids[i]!]);
      expect(tokenizer.decode(ids[i]!)).toBe(text);
    }
    const begins = name === "gguf-f16-spm"; // its metadata has add_bos_token
    expect([...tokenizer.encode(texts[0]!, { special: true })]).toEqual(begins ? [1, ...ids[0]!] : ids[0]!);
    const reference = JSON.parse(fs.readFileSync(`${GOLDEN}/${name}/tokenizer.json`, "utf8"));
    const found = JSON.parse(new TextDecoder().decode(checkpoint.files.get("tokenizer.json")));
    expect({ ...found, post_processor: null }).toEqual(reference);
    checkpoint.close();
  });
});

/** The twin as a folder of F32 safetensors. */
async function writeTwin(name: string, folder: string): Promise<void> {
  const checkpoint = await open(ggufOf(name));
  const twin = await readTensors(`${GOLDEN}/${name}/expected.safetensors`);
  const tensors: Made[] = [];
  for (const entry of checkpoint.tensors.values()) {
    const known = twin.get(`weight.${entry.name}`)?.data;
    const data = encodeFloats(known ? Float32Array.from(known) : await mergeOnCpu(entry), "F32");
    tensors.push({ name: entry.name, dtype: "F32", shape: entry.shape, bytes: data.length, data });
  }
  fs.mkdirSync(folder);
  for (const [file, bytes] of checkpoint.files) fs.writeFileSync(path.join(folder, file), bytes);
  fs.writeFileSync(path.join(folder, "model.safetensors"), fileOf(tensors));
  checkpoint.close();
}

/** A PEFT adapter of rank 2 on two matrices of the first layer. */
function writeAdapter(folder: string, shapes: Record<string, [number, number]>): void {
  const tensors = Object.entries(shapes).flatMap(([module, [out, columns]], i): Made[] =>
    (
      [
        ["lora_A", [2, columns]],
        ["lora_B", [out, 2]],
      ] as const
    ).map(([side, shape], k) => {
      const data = encodeFloats(noise(shape[0] * shape[1], 10 * i + k), "F32");
      return { name: `base_model.model.${module}.${side}.weight`, dtype: "F32", shape, bytes: data.length, data };
    }),
  );
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, "adapter_model.safetensors"), fileOf(tensors));
  const config = { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj", "down_proj"] };
  fs.writeFileSync(path.join(folder, "adapter_config.json"), JSON.stringify(config));
}

describe("scripts see plain tensors", () => {
  const name = "gguf-k-mix";
  const result = async (argv: string[]) => {
    const { code, err } = await runScript(
      "merge",
      [...argv, "--dtype", "f32", "-o", "out.safetensors", "--overwrite"],
      top,
    );
    expect([err, code]).toEqual([expect.any(String), 0]);
    return readTensors(path.join(top, "out.safetensors"));
  };

  test("a merge and an adapter give what the twin gives", async () => {
    fs.copyFileSync(ggufOf(name), path.join(top, "x.gguf"));
    await writeTwin(name, path.join(top, "twin"));
    fs.cpSync(path.join(top, "twin"), path.join(top, "copy"), { recursive: true });
    writeAdapter(path.join(top, "adapter"), {
      "model.layers.0.self_attn.q_proj": [32, 256],
      "model.layers.0.mlp.down_proj": [256, 32],
    });
    const linear = ["--method", "linear", "--weight", "0.3,0.7"];
    const mixed = await result(["x.gguf", "copy/", ...linear]);
    expect(mixed.size).toBe(12);
    expect(mixed).toEqual(await result(["twin/", "copy/", ...linear]));
    const adapted = await result(["x.gguf+adapter/", "copy/", ...linear]);
    expect(adapted).toEqual(await result(["twin/+adapter/", "copy/", ...linear]));
    expect(adapted.get("model.layers.0.self_attn.q_proj.weight")).not.toEqual(
      mixed.get("model.layers.0.self_attn.q_proj.weight")!,
    );
  }, 120_000);

  test("evaluate and sample run on the file alone", async () => {
    fs.copyFileSync(ggufOf("gguf-f16-spm"), path.join(top, "spm.gguf"));
    fs.writeFileSync(path.join(top, "rows.jsonl"), '{"text":"the cat sat"}\n{"text":"a model of the end"}\n');
    const scored = await runScript("evaluate", ["spm.gguf", "--data", "rows.jsonl", "--metric", "perplexity"], top);
    expect([scored.err, scored.code]).toEqual([expect.any(String), 0]);
    expect(scored.text).toMatch(/perplexity/);
    const sampled = await runScript("sample", ["spm.gguf", "the cat", "--max-tokens", "3"], top);
    expect([sampled.err, sampled.code]).toEqual([expect.any(String), 0]);
  }, 120_000);
});
