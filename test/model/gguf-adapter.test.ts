/** Adapters as GGUF: base and change in the order of the base's file give the file of the merged model. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gguf } from "@huggingface/gguf";
import { readGgufHeader } from "../../src/checkpoint/gguf/header.ts";
import { open } from "../../src/checkpoint/open.ts";
import { Source } from "../../src/checkpoint/source.ts";
import type { LoraOptions } from "../../src/model/adapters/lora/lora.ts";
import type { Json } from "../../src/model/architecture.ts";
import { doraChange, foldDora, LEFT_OUT } from "../../src/model/fold-dora.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { sampleOf, write } from "../checkpoint/gguf/write/fixture.ts";
import { runShell } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
let top: string;
const at = (name: string) => path.join(top, name);
beforeAll(() => {
  top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-adapter-"));
});
afterAll(() => fs.rmSync(top, { recursive: true }));

/** F32 tensors of a file as they stand, with their sides outermost first. */
async function stored(file: string) {
  const source = Source.open(file, file);
  const { tensors, bytes } = await readGgufHeader(source);
  source.close();
  const all = fs.readFileSync(file);
  const begin = Math.ceil(bytes.length / 32) * 32;
  return new Map(
    tensors.map(({ name, sides, offset }) => {
      const from = begin + Number(offset);
      const count = Number(sides.reduce((product, side) => product * side, 1n));
      const values = new Float32Array(Uint8Array.from(all.subarray(from, from + 4 * count)).buffer);
      return [name, { values, shape: sides.map(Number).reverse() }] as const;
    }),
  );
}

/** A model with an adapter whose matrices are drawn. */
async function adapted(json: Json, lora: Partial<LoraOptions>) {
  await write(await sampleOf(json, "F32"), at("base"), { overwrite: true });
  const base = await open(at("base"));
  const model = await Model.load(gpu, base, { lora: { rank: 2, alpha: 3, seed: 1, base: at("base"), ...lora } });
  for (const [i, parameter] of model.adapter!.tensors().entries()) {
    if (parameter.name.includes("magnitude")) {
      const lengths = await gpu.readFloats(parameter.buffer, parameter.size);
      const noise = normals(50 + i, parameter.size, 0.02, 1);
      parameter.write(lengths.map((x, o) => x * noise[o]!));
    } else parameter.write(normals(i, parameter.size, 0.3));
  }
  return { base, model };
}

/** Adapter, base and merged model as files of one folder. */
async function files(json: Json, lora: Partial<LoraOptions>, said: string[] = []) {
  const { base, model } = await adapted(json, lora);
  for (const name of ["adapter", "merged.gguf", "base.gguf", "adapter.gguf"])
    fs.rmSync(at(name), { recursive: true, force: true });
  const options = { files: base.files, lineage: [], flush: false, warn: (text: string) => said.push(text) };
  await saveModel(model, at("adapter"), options);
  await saveModel(model, at("adapter.gguf"), options);
  base.close();
  model.free();
  const line =
    "$MERGE base+adapter --method passthrough -o merged.gguf && $MERGE base --method passthrough -o base.gguf";
  const { err, code } = await runShell(line, top);
  expect([err, code]).toEqual([expect.any(String), 0]);
  return Promise.all(["base.gguf", "merged.gguf", "adapter.gguf"].map((name) => stored(at(name))));
}

/** Largest error of base + alpha / r B A against the merged file, as a share of the largest change of a matrix. */
function worstError([base, merged, adapter]: Awaited<ReturnType<typeof files>>, alpha: number) {
  let worst = 0;
  const changed = new Set<string>();
  for (const [name, { values, shape }] of merged!) {
    const [a, b] = [adapter!.get(`${name}.lora_a`), adapter!.get(`${name}.lora_b`)];
    const before = base!.get(name)!.values;
    const change = values.map((x, i) => x - before[i]!);
    if (a === undefined) {
      expect([name, change.some((x) => x !== 0)]).toEqual([name, false]);
      continue;
    }
    changed.add(name);
    const rank = b!.shape.at(-1)!; // as llama.cpp finds it
    const [out, into] = shape.slice(-2) as [number, number];
    const most = change.reduce((all, x) => Math.max(all, Math.abs(x)), 0);
    for (const [i, x] of change.entries()) {
      const [e, o, column] = [Math.floor(i / (out * into)), Math.floor(i / into) % out, i % into];
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        sum += b!.values[(e * out + o) * rank + r]! * a.values[(e * rank + r) * into + column]!;
      }
      worst = Math.max(worst, Math.abs(x - (alpha / rank) * sum) / most);
    }
  }
  expect([...adapter!.keys()].length).toBe(2 * changed.size);
  return { worst, changed };
}

const NARROW = { num_attention_heads: 4, num_key_value_heads: 2 };

describe.each([
  ["llama, whose rows of q and k change places", { ...TINY_TEXT.llama!, ...NARROW }, {}, 14],
  ["llama with rsLoRA, whose scale goes into B", { ...TINY_TEXT.llama!, ...NARROW }, { rslora: true }, 14],
  ["phi3, of fused matrices", TINY_DECODERS.phi3!, {}, 8],
  [
    "mixtral with routed experts",
    { ...TINY_EXPERTS.mixtral!, ...NARROW },
    { targets: ["w1", "w2", "w3", "q_proj"] },
    8,
  ],
  ["qwen2, one matrix of a block", { ...TINY_TEXT.qwen2!, tie_word_embeddings: false }, { targets: ["v_proj"] }, 2],
] as [string, Json, Partial<LoraOptions>, number][])("%s", (_, json, lora, count) => {
  test("base and adapter give the merged model", async () => {
    const { worst, changed } = worstError(await files(json, lora), 3);
    expect(changed.size).toBe(count);
    expect(worst).toBeLessThan(1e-5);
  });
});

test("metadata are those that llama.cpp asks for, and sides those that it checks", async () => {
  await files({ ...TINY_TEXT.llama!, ...NARROW }, {});
  const { metadata, tensorInfos } = await gguf(at("adapter.gguf"), { allowLocalFile: true });
  expect(metadata).toMatchObject({
    "general.architecture": "llama",
    "general.type": "adapter",
    "adapter.type": "lora",
    "adapter.lora.alpha": 3,
  } as object);
  const sides = new Map(tensorInfos.map(({ name, shape }) => [name, shape.map(Number)]));
  expect(sides.get("blk.0.ffn_down.weight.lora_a")).toEqual([40, 2]);
  expect(sides.get("blk.0.ffn_down.weight.lora_b")).toEqual([2, 24]);
});

test("an untied embedding's matrices stand as llama.cpp looks rows up: A by token", async () => {
  const json = { ...TINY_TEXT.qwen2!, tie_word_embeddings: false };
  const { base, model } = await adapted(json, { targets: ["embed_tokens"] });
  await saveModel(model, at("embedding.gguf"), { files: base.files, lineage: [], flush: false });
  const found = await stored(at("embedding.gguf"));
  const [a, b] = model.adapter!.tensors();
  expect(found.get("token_embd.weight.lora_a")!.shape).toEqual([50, 2]);
  expect(found.get("token_embd.weight.lora_b")!.shape).toEqual([24, 2]);
  expect([...found.get("token_embd.weight.lora_a")!.values]).toEqual([...(await gpu.readFloats(a!.buffer, a!.size))]);
  expect([...found.get("token_embd.weight.lora_b")!.values]).toEqual([...(await gpu.readFloats(b!.buffer, b!.size))]);
  base.close();
  model.free();
});

describe("DoRA", () => {
  test("is folded into LoRA that leaves out a hundredth of a change at most, which is said", async () => {
    const said: string[] = [];
    const { worst, changed } = worstError(await files({ ...TINY_TEXT.llama!, ...NARROW }, { dora: true }, said), 3);
    expect(changed.size).toBe(14);
    expect(worst).toBeLessThan(0.02);
    expect(said).toEqual([
      expect.stringMatching(/GGUF has no DoRA: 14 changes are folded into LoRA of rank \d+ or less/),
    ]);
  });

  const [rows, columns, rank] = [96, 64, 3];
  const given = {
    weight: normals(1, rows * columns, 0.02),
    a: normals(2, rank * columns),
    b: normals(3, rows * rank),
    scale: 0.5,
    rank,
  };

  test("the least rank of r, 2 r, 4 r ... that suffices is taken", async () => {
    const lengths = Float32Array.from({ length: rows }, (_, o) => {
      const row = Float64Array.from(given.weight.subarray(o * columns, (o + 1) * columns));
      for (let r = 0; r < rank; r++) {
        for (let i = 0; i < columns; i++) row[i]! += 0.5 * given.b[o * rank + r]! * given.a[r * columns + i]!;
      }
      return Math.sqrt(row.reduce((sum, x) => sum + x * x, 0)); // so that only B A is left
    });
    const folded = await foldDora(gpu, { ...given, lengths });
    expect([folded.rank, folded.left <= LEFT_OUT]).toEqual([rank, true]);
    const change = doraChange({ ...given, lengths });
    for (const [i, x] of change.entries()) {
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        sum += folded.b[Math.floor(i / columns) * rank + r]! * folded.a[r * columns + (i % columns)]!;
      }
      expect(Math.abs(x - sum)).toBeLessThan(1e-3);
    }
  });

  test("a change that no thin matrices hold is kept whole, and none at all is zero", async () => {
    const lengths = normals(4, rows, 1, 5);
    const folded = await foldDora(gpu, { ...given, weight: normals(9, rows * columns, 3), lengths });
    expect([folded.rank, folded.left]).toEqual([columns, 0]);
    const none = await foldDora(gpu, {
      ...given,
      weight: new Float32Array(rows * columns),
      lengths: new Float32Array(rows),
    });
    expect([none.rank, ...new Set(none.a), ...new Set(none.b)]).toEqual([1, 0, 0]);
  });
});

describe("refused", () => {
  test.each([
    ["types of a model", TINY_TEXT.llama!, {}, { ggufType: ["q8_0"] }, /--gguf-type has no effect on an adapter/],
    ["a tied embedding", { ...TINY_TEXT.llama!, tie_word_embeddings: true }, { targets: ["embed_tokens"] }, {}, /tied/],
    ["another architecture", TINY_TEXT.gpt2!, { targets: ["c_attn"] }, {}, /models of type gpt2/],
  ] as [string, Json, Partial<LoraOptions>, object, RegExp][])("%s", async (_, json, lora, more, message) => {
    const { base, model } = await adapted(json, lora);
    const options = { files: base.files, lineage: [], flush: false, ...more };
    await expect(saveModel(model, at("none.gguf"), options)).rejects.toThrow(message);
    expect(fs.existsSync(at("none.gguf"))).toBe(false);
    base.close();
    model.free();
  });
});

test("train --lora writes one", async () => {
  await write(await sampleOf({ ...TINY_TEXT.llama!, ...NARROW }, "F32"), at("plain"), {});
  fs.writeFileSync(at("ids.jsonl"), JSON.stringify({ input_ids: [1, 2, 3, 4, 5] }));
  const line = "$TRAIN plain --lora --data ids.jsonl --steps 2 --lr 0.1 -o tuned.gguf && $INSPECT tuned.gguf";
  const { code, err, text } = await runShell(line, top);
  expect([err, code]).toEqual([expect.any(String), 0]);
  expect(text).toMatch(/lora_a/);
  const { metadata } = await gguf(at("tuned.gguf"), { allowLocalFile: true });
  expect(metadata).toMatchObject({ "adapter.type": "lora", "general.base_model.0.name": "plain" } as object);
});
