/** Checkpoints written as GGUF and read again, by our reader and by that of Hugging Face. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gguf } from "@huggingface/gguf";
import { decodeFloats } from "../../../../src/checkpoint/decode.ts";
import { readGgufHeader } from "../../../../src/checkpoint/gguf/header.ts";
import { open } from "../../../../src/checkpoint/open.ts";
import { Source } from "../../../../src/checkpoint/source.ts";
import { UserError } from "../../../../src/errors.ts";
import { runScript, runShell } from "../../../support/command.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";
import { bytesOf } from "../../sample.ts";
import { jsonOf, type Sample, sampleOf, write } from "./fixture.ts";

const GOLDEN = path.join(import.meta.dir, "../../../golden/quantized");

let top: string;
const at = (name: string) => path.join(top, name);
beforeAll(() => {
  top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-write-"));
});
afterAll(() => fs.rmSync(top, { recursive: true }));

const QWEN3_MOE = {
  ...TINY_TEXT.qwen3!,
  model_type: "qwen3_moe",
  num_experts: 3,
  num_experts_per_tok: 2,
  moe_intermediate_size: 12,
  norm_topk_prob: true,
  decoder_sparse_step: 1,
  mlp_only_layers: [],
};
const { gpt2: _, ...DECODERS } = TINY_TEXT;
/** llama.cpp knows no window of a Qwen2, so that one comes back without it. */
const WINDOWED = ["use_sliding_window", "max_window_layers", "layer_types", "sliding_window"];
const MODELS = Object.entries({ ...DECODERS, qwen3_moe: QWEN3_MOE });

/** A sample of rows of 64 and more, so that blocks fit. */
const WIDE = {
  ...TINY_TEXT.llama!,
  hidden_size: 64,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 96,
};

/** Rows of 256, which K blocks need. */
const BROAD = { ...WIDE, hidden_size: 256, intermediate_size: 256, num_hidden_layers: 1, vocab_size: 30 };

/** The bytes of each stored tensor, and its ggml type, by the names of the file. */
async function storedOf(file: string) {
  const source = Source.open(file, file);
  const { tensors, bytes } = await readGgufHeader(source);
  const begin = Math.ceil(bytes.length / 32) * 32;
  source.close();
  const all = fs.readFileSync(file);
  const ordered = tensors.map(({ offset }) => Number(offset)).sort((a, b) => a - b);
  return new Map(
    tensors.map(({ name, type, offset }) => {
      const next = ordered.find((other) => other > Number(offset)) ?? all.length - begin;
      return [name, { type, bytes: all.subarray(begin + Number(offset), begin + next) }] as const;
    }),
  );
}

describe.each(MODELS)("%s", (name, config) => {
  test("comes back bit for bit, with its config", async () => {
    const sample = await sampleOf(config);
    const file = at("whole.gguf");
    const said = await write(sample, file);
    expect(said.filter((text) => !/no tokenizer/.test(text))).toEqual(
      "sliding_window" in config
        ? [expect.stringMatching(/sees a window of \d+ tokens; llama.cpp lets every token/)]
        : [],
    );
    const checkpoint = await open(file);
    expect([...checkpoint.tensors.keys()].sort()).toEqual(sample.tensors.map((one) => one.name).sort());
    for (const { name: tensor, shape, dtype, data } of sample.tensors) {
      const entry = checkpoint.tensors.get(tensor)!;
      const back = decodeFloats(await bytesOf(entry), entry.dtype);
      expect([
        tensor,
        entry.shape,
        Buffer.from(back.buffer).equals(Buffer.from(decodeFloats(data, dtype).buffer)),
      ]).toEqual([tensor, shape, true]);
    }
    const unsaid = ["initializer_range", "norm_topk_prob", ...WINDOWED];
    const kept = Object.fromEntries(Object.entries(config).filter(([key]) => !unsaid.includes(key)));
    const type = name === "mistral" ? { model_type: "llama" } : {};
    expect(jsonOf(checkpoint)).toMatchObject({ ...kept, ...type });
    checkpoint.close();
  });

  test("Hugging Face's reader finds metadata and tensors", async () => {
    const sample = await sampleOf(config);
    const file = at("other.gguf");
    await write(sample, file);
    const { metadata, tensorInfos } = await gguf(file, { allowLocalFile: true });
    const architecture = String(metadata["general.architecture"]);
    expect(metadata).toMatchObject({
      version: 3,
      "general.file_type": 32,
      "general.quantization_version": 2,
      [`${architecture}.block_count`]: 2,
      [`${architecture}.embedding_length`]: 24,
    });
    const embedding = tensorInfos.find((tensor) => tensor.name === "token_embd.weight")!;
    expect([embedding.shape.map(Number), embedding.dtype]).toEqual([[24, 50], 30]);
    const ours = await storedOf(file);
    expect(tensorInfos.map((tensor) => tensor.name)).toEqual([...ours.keys()]);
  });
});

test.each([
  ["f32", 0, 0],
  ["f16", 1, 2 ** -11],
  ["bf16", 30, 2 ** -8],
  ["q8_0", 8, 1 / 127],
  ["q5_0", 6, 1 / 16],
  ["q5_1", 7, 1 / 31],
  ["q4_0", 2, 1 / 8],
  ["q4_1", 3, 1 / 15],
  ["q2_k", 10, 1 / 2],
  ["q3_k", 11, 1 / 3],
  ["q4_k", 12, 1 / 8],
  ["q5_k", 13, 1 / 16],
  ["q6_k", 14, 1 / 28],
  ["iq4_nl", 20, 1 / 6],
  ["iq4_xs", 23, 1 / 6],
] as const)("all matrices as %s; the error is at most a step of the largest magnitude", async (type, number, step) => {
  const sample = await sampleOf(/k$|xs$/.test(type) ? BROAD : WIDE, "F32");
  const file = at(`${type}.gguf`);
  await write(sample, file, { ggufType: [type] });
  const stored = await storedOf(file);
  for (const [name, { type: found }] of stored) {
    expect([name, found]).toEqual([name, /norm/.test(name) ? 0 : number]);
  }
  const checkpoint = await open(file);
  for (const { name, data } of sample.tensors) {
    const entry = checkpoint.tensors.get(name)!;
    const [found, wanted] = [decodeFloats(await bytesOf(entry), entry.dtype), decodeFloats(data, "F32")];
    const most = wanted.reduce((all, x) => Math.max(all, Math.abs(x)), 0);
    const worst = wanted.reduce((all, x, i) => Math.max(all, Math.abs(x - found[i]!)), 0);
    expect([name, worst <= 1.05 * most * step]).toEqual([name, true]);
  }
  checkpoint.close();
});

test("a Q8_0 file of llama.cpp's is given back byte for byte, names, order of rows and blocks", async () => {
  const golden = `${GOLDEN}/gguf-q8_0/model.gguf`;
  const { code, err } = await runScript(
    "merge",
    [golden, "--method", "passthrough", "--gguf-type", "q8_0", "-o", "again.gguf"],
    top,
  );
  expect([err, code]).toEqual([expect.any(String), 0]);
  const [wanted, found] = [await storedOf(golden), await storedOf(at("again.gguf"))];
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [name, { type, bytes }] of wanted) {
    const ours = found.get(name)!;
    expect([name, ours.type, Buffer.compare(ours.bytes, bytes)]).toEqual([name, type, 0]);
  }
});

test.each([
  ["q2_k", "iq4_nl", 20],
  ["q3_k", "iq4_nl", 20],
  ["q4_k", "q5_0", 6],
  ["q5_k", "q5_1", 7],
  ["q6_k", "q8_0", 8],
  ["iq4_xs", "iq4_nl", 20],
] as const)("rows of 64 take %s as llama-quantize does: %s", async (type, found, number) => {
  const said = await write(await sampleOf(WIDE, "F32"), at("narrow.gguf"), { ggufType: [type] });
  expect(said.join()).toMatch(`${found} instead of ${type}`);
  expect((await storedOf(at("narrow.gguf"))).get("blk.0.attn_q.weight")!.type).toBe(number);
});

test("types by pattern, over names of the file and of the checkpoint; the last pattern decides", async () => {
  const file = at("mixed.gguf");
  await write(await sampleOf(WIDE, "F32"), file, {
    ggufType: ["q4_0,*.ffn_down.*=q8_0", "model.layers.1.*=q5_1", "token_embd.weight=f16"],
  });
  const stored = await storedOf(file);
  const typeOf = (name: string) => stored.get(name)!.type;
  expect(typeOf("blk.0.ffn_down.weight")).toBe(8);
  expect(typeOf("blk.0.ffn_up.weight")).toBe(2);
  expect(typeOf("blk.1.ffn_down.weight")).toBe(7);
  expect(typeOf("token_embd.weight")).toBe(1);
  expect(typeOf("blk.1.attn_norm.weight")).toBe(0);
});

test("rows that no block divides take what llama-quantize takes, and are told", async () => {
  const file = at("odd.gguf");
  const said = await write(await sampleOf(TINY_TEXT.llama!, "F32"), file, { ggufType: ["q8_0"] });
  expect(said).toContain(
    "rows that are no multiple of a block: f16 instead of q8_0 for token_embd.weight, blk.0.attn_q.weight, " +
      "blk.0.attn_k.weight and 13 more",
  );
  expect((await storedOf(file)).get("blk.0.attn_q.weight")!.type).toBe(1);
});

const refusal = async (sample: Sample, target: string, options = {}) => {
  try {
    await write(sample, target, options);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect(fs.existsSync(target)).toBe(false);
    return (error as UserError).message;
  }
  throw new Error("nothing was refused");
};

describe("refused before work", () => {
  test.each([
    ["another architecture", TINY_TEXT.gpt2!, /models of type gpt2/],
    ["another activation", { ...WIDE, hidden_act: "gelu" }, /hidden_act is .*gelu/],
    ["rotary scaling", { ...WIDE, rope_scaling: { rope_type: "dynamic", factor: 2 } }, /rotary scaling dynamic/],
    [
      "yarn of another kind",
      { ...WIDE, rope_scaling: { rope_type: "yarn", factor: 2, beta_fast: 16 } },
      /beta_fast 16/,
    ],
    ["layers without experts", { ...QWEN3_MOE, mlp_only_layers: [0] }, /mlp_only_layers/],
  ])("%s", async (_, config, message) => {
    const sample = await sampleOf(WIDE);
    sample.files.set("config.json", new TextEncoder().encode(JSON.stringify(config)));
    expect(await refusal(sample, at("none.gguf"))).toMatch(message);
  });

  test("tensors that the file has no place for, or that it lacks", async () => {
    const sample = await sampleOf(WIDE);
    const extra = { ...sample.tensors[0]!, name: "model.vision.weight" };
    expect(await refusal({ ...sample, tensors: [...sample.tensors, extra] }, at("none.gguf"))).toMatch(/vision/);
    expect(await refusal({ ...sample, tensors: sample.tensors.slice(0, -1) }, at("none.gguf"))).toMatch(/lm_head/);
    expect(await refusal({ ...sample, files: new Map() }, at("none.gguf"))).toMatch(/config.json/);
  });

  test("types and patterns that there are not", async () => {
    const sample = await sampleOf(WIDE);
    for (const [type, message] of [
      ["q9_0", /"q9_0" is not a type/],
      ["q4_0,q8_0", /two types for all matrices/],
      ["q4_0,*.ffn_dwn.*=q8_0", /"\*\.ffn_dwn\.\*" matches no matrix/],
      ["*.attn_norm.*=q8_0", /matches no matrix/],
    ] as const) {
      expect(await refusal(sample, at("none.gguf"), { ggufType: [type] })).toMatch(message);
    }
    expect(await refusal(sample, at("none.safetensors"), { ggufType: ["q8_0"] })).toMatch(/is for GGUF files/);
    expect(await refusal(sample, at("none"), { ggufType: ["q8_0"] })).toMatch(/is for GGUF files/);
  });
});

test("values that a type cannot hold are refused where they come, and leave no file", async () => {
  const sample = await sampleOf(WIDE, "F32");
  const values = decodeFloats(sample.tensors[1]!.data, "F32");
  const spoilt = (value: number) => {
    const changed = values.slice();
    changed[77] = value;
    return {
      ...sample,
      tensors: sample.tensors.with(1, { ...sample.tensors[1]!, data: new Uint8Array(changed.buffer) }),
    };
  };
  const { name } = sample.tensors[1]!;
  expect(await refusal(spoilt(Number.NaN), at("bad.gguf"), { ggufType: ["q8_0"] })).toBe(
    `tensor ${name} has the value NaN, which q8_0 cannot hold`,
  );
  expect(await refusal(spoilt(70_000), at("bad.gguf"), { ggufType: ["f16"] })).toMatch(/70000, which f16 cannot hold/);
  expect(fs.readdirSync(top).filter((file) => file.includes("bad"))).toEqual([]);
});

test("lineage is in the file twice: ingot's own, and the base models for any reader", async () => {
  fs.cpSync(`${GOLDEN}/gguf-qwen2/model.gguf`, at("one.gguf"));
  const merged = await runShell(
    "$MERGE one.gguf one.gguf --allow-duplicates --method linear --weight 1,1 -o merged.gguf && $INSPECT merged.gguf",
    top,
  );
  expect([merged.err, merged.code]).toEqual([expect.any(String), 0]);
  expect(merged.text).toContain("merge linear");
  const { metadata } = await gguf(at("merged.gguf"), { allowLocalFile: true });
  expect(metadata).toMatchObject({ "general.base_model.count": 1, "general.base_model.0.name": "one" });
  const checkpoint = await open(at("merged.gguf"));
  expect(checkpoint.lineage.map(({ script, method }) => [script, method])).toEqual([["merge", "linear"]]);
  checkpoint.close();
}, 120_000);

test("stdout takes a GGUF file where types are named, with the same bytes; experts go to a file alone", async () => {
  fs.cpSync(`${GOLDEN}/gguf-qwen2/model.gguf`, at("one.gguf"));
  const line = "$MERGE one.gguf --method passthrough --gguf-type q8_0";
  const { code, err } = await runShell(`${line} > piped.gguf && ${line} -o named.gguf`, top);
  expect([err, code]).toEqual([expect.any(String), 0]);
  expect(fs.readFileSync(at("piped.gguf")).equals(fs.readFileSync(at("named.gguf")))).toBe(true);
  await write(await sampleOf(QWEN3_MOE), at("experts.gguf"));
  const piped = await runShell("$MERGE experts.gguf --method passthrough --gguf-type f16 | cat", top);
  expect(piped.err).toMatch(/cannot go through a pipe/);
}, 120_000);

test("a dry run says what the file takes, and refuses as the run does", async () => {
  fs.cpSync(`${GOLDEN}/gguf-qwen2/model.gguf`, at("one.gguf"));
  const line = "$MERGE one.gguf --method passthrough --gguf-type";
  const { text } = await runShell(`${line} q8_0 -n --json -o planned.gguf`, top);
  const { code } = await runShell(`${line} q8_0 -o planned.gguf`, top);
  expect(code).toBe(0);
  expect(JSON.parse(text).output).toBe(fs.statSync(at("planned.gguf")).size);
  expect((await runShell(`${line} q7 -n -o planned.gguf`, top)).code).toBe(2);
}, 120_000);

test("the commands of docs/formats.md run", async () => {
  const page = fs.readFileSync(path.join(import.meta.dir, "../../../../docs/formats.md"), "utf8");
  const [block] = /(?<=^```sh\n)[\s\S]*?(?=^```)/m.exec(page.slice(page.indexOf("## GGUF files")))!;
  const folder = at("docs");
  fs.mkdirSync(folder);
  const spm = `${GOLDEN}/gguf-f16-spm/model.gguf`;
  fs.writeFileSync(path.join(folder, "rows.jsonl"), `${JSON.stringify({ text: "the cat sat" })}\n`);
  const names = (script: string) => `$${script.toUpperCase()}`;
  const lines = block!.replaceAll(/\bingot (\w+)/g, (_, script: string) => names(script));
  const made = `$MERGE ${spm} --method passthrough -o a/; $MERGE ${spm} --method passthrough -o b/`;
  const { code, err, text } = await runShell(`set -e; ${made}; ${lines}`, folder);
  expect([err, code]).toEqual([expect.any(String), 0]);
  expect(text).toMatch(/mixed.gguf/);
  expect((await storedOf(path.join(folder, "tuned.gguf"))).get("blk.0.attn_q.weight")!.type).toBe(8);
}, 120_000);
