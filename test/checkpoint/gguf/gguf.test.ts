import { afterAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { mergeOnCpu } from "../../../src/checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { openGguf } from "../../../src/checkpoint/gguf/gguf.ts";
import { llama3Factors } from "../../../src/checkpoint/gguf/rope.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { UserError } from "../../../src/errors.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { describeConfig } from "../../../src/model/description.ts";
import { HANG_MS } from "../../support/hang.ts";
import { noise } from "../adapter/fixture.ts";
import { buildGguf, type GgufTensor, metadataOf, quantizeQ8, TYPE } from "./fixture.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));

let files = 0;
function write(bytes: Uint8Array): string {
  const file = path.join(folder, `${files++}.gguf`);
  fs.writeFileSync(file, bytes);
  return file;
}
const opened = (metadata: Record<string, unknown>, tensors: GgufTensor[]): Promise<Checkpoint> =>
  openGguf(write(buildGguf(metadata, tensors)), "x.gguf");
const refusal = async (bytes: Uint8Array): Promise<string> => {
  const error = await openGguf(write(bytes), "x.gguf").then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
};
const f32 = (name: string, dims: number[], seed = 1): GgufTensor => ({
  name,
  dims,
  type: TYPE.F32,
  bytes: encodeFloats(
    noise(
      dims.reduce((all, size) => all * size, 1),
      seed,
    ),
    "F32",
  ),
});
const valuesOf = (checkpoint: Checkpoint, name: string): Promise<Float32Array> =>
  mergeOnCpu(checkpoint.tensors.get(name)!);
const configOf = (checkpoint: Checkpoint): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(checkpoint.files.get("config.json")));

/** As convert_hf_to_gguf.py does: reshape (heads, 2, D/2, in), swap the middle two. */
function reorder(values: Float32Array, heads: number, columns: number): Float32Array {
  const size = values.length / columns / heads;
  const result = new Float32Array(values.length);
  for (let h = 0; h < heads; h++)
    for (let j = 0; j < 2; j++)
      for (let i = 0; i < size / 2; i++)
        for (let c = 0; c < columns; c++)
          result[(h * size + i * 2 + j) * columns + c] = values[(h * size + j * (size / 2) + i) * columns + c]!;
  return result;
}

const NAMES = {
  "token_embd.weight": "model.embed_tokens.weight",
  "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
  "blk.0.attn_q.weight": "model.layers.0.self_attn.q_proj.weight",
  "blk.0.attn_k.weight": "model.layers.0.self_attn.k_proj.weight",
  "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
  "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
  "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
  "blk.0.ffn_gate.weight": "model.layers.0.mlp.gate_proj.weight",
  "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
  "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};
const DIMS: Record<string, number[]> = {
  "token_embd.weight": [32, 10],
  "output.weight": [32, 10],
  "blk.0.attn_q.weight": [32, 32],
  "blk.0.attn_k.weight": [32, 16],
  "blk.0.attn_v.weight": [32, 16],
  "blk.0.attn_output.weight": [32, 32],
  "blk.0.ffn_gate.weight": [32, 64],
  "blk.0.ffn_up.weight": [32, 64],
  "blk.0.ffn_down.weight": [64, 32],
};
const decoder = (): GgufTensor[] => Object.keys(NAMES).map((name, i) => f32(name, DIMS[name] ?? [32], i));

describe("a model in several parts", () => {
  /** Writes three parts of the decoder; `change` gives one of them other metadata. */
  function parts(name: string, change: Record<number, Record<string, unknown>> = {}): string[] {
    const tensors = decoder();
    return [tensors.slice(0, 4), tensors.slice(4, 9), tensors.slice(9)].map((own, i) => {
      const split = { "split.no": i, "split.count": 3, "split.tensors.count": tensors.length, ...change[i] };
      const file = path.join(folder, `${name}-0000${i + 1}-of-00003.gguf`);
      fs.writeFileSync(file, buildGguf({ ...(i === 0 ? metadataOf("llama") : {}), ...split }, own));
      return file;
    });
  }
  const said = async (file: string) =>
    openGguf(file, file.slice(folder.length + 1)).then(
      () => "",
      ({ message }) => message as string,
    );

  test("is one model, whichever part is named", async () => {
    const whole = await opened(metadataOf("llama"), decoder());
    for (const file of parts("whole")) {
      const checkpoint = await openGguf(file, "x");
      expect([...checkpoint.tensors.keys()].sort()).toEqual([...whole.tensors.keys()].sort());
      for (const name of whole.tensors.keys())
        expect(await valuesOf(checkpoint, name)).toEqual(await valuesOf(whole, name));
      expect(configOf(checkpoint)).toEqual(configOf(whole));
      checkpoint.close();
    }
    whole.close();
  });

  test("is refused where a part is missing or of another model", async () => {
    const [first, second, third] = parts("lost") as [string, string, string];
    fs.rmSync(third);
    expect(await said(second)).toBe(
      "lost-00002-of-00003.gguf is one of 3 parts of a model, and lost-00003-of-00003.gguf is not there",
    );
    fs.copyFileSync(first, third);
    expect(await said(first)).toBe("lost-00003-of-00003.gguf says that it is part 1 of 3");
    expect(await said(parts("odd", { 0: { "split.tensors.count": 7 } })[0]!)).toBe(
      `odd-00001-of-00003.gguf says that all parts have 7 tensors; they have ${decoder().length}`,
    );
    expect(await said(parts("four", { 1: { "split.count": 4 } })[0]!)).toBe(
      "four-00002-of-00003.gguf says that it is part 2 of 4",
    );
  });
});

describe("a llama model", () => {
  test("gets Hugging Face names, shapes and order of rows", async () => {
    const q = noise(32 * 32, 91);
    const k = noise(16 * 32, 92);
    const tensors = decoder();
    tensors[2]!.bytes = encodeFloats(reorder(q, 4, 32), "F32");
    tensors[3]!.bytes = encodeFloats(reorder(k, 2, 32), "F32");
    const checkpoint = await opened(metadataOf("llama"), tensors);
    expect([...checkpoint.tensors.keys()]).toEqual(Object.values(NAMES));
    for (const [name, entry] of checkpoint.tensors) expect(entry.name).toBe(name);
    expect(checkpoint.tensors.get("model.layers.0.mlp.down_proj.weight")!.shape).toEqual([32, 64]);
    expect(await valuesOf(checkpoint, "model.layers.0.self_attn.q_proj.weight")).toEqual(q);
    expect(await valuesOf(checkpoint, "model.layers.0.self_attn.k_proj.weight")).toEqual(k);
    expect(await valuesOf(checkpoint, "model.layers.0.self_attn.v_proj.weight")).toEqual(noise(16 * 32, 4));
    checkpoint.close();
  });

  test("gets a config.json from the metadata", async () => {
    const checkpoint = await opened(metadataOf("llama"), decoder());
    expect(configOf(checkpoint)).toEqual({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      hidden_act: "silu",
      vocab_size: 10,
      max_position_embeddings: 128,
      rms_norm_eps: 1e-5,
      rope_theta: 500000.5,
      tie_word_embeddings: false,
      attention_bias: false,
      mlp_bias: false,
      bos_token_id: 1,
      torch_dtype: "float32",
    });
    const tied = await opened(metadataOf("llama"), decoder().slice(0, -1));
    expect(configOf(tied).tie_word_embeddings).toBe(true);
    checkpoint.close();
    tied.close();
  });

  test("rows in order are the same whichever bytes are asked for", async () => {
    const q = noise(8 * 32, 5);
    const bytes = encodeFloats(q, "F16");
    const stored = encodeFloats(reorder(decodeFloats(bytes, "F16"), 4, 32), "F16");
    const tensors = [{ name: "blk.0.attn_q.weight", dims: [32, 8], type: TYPE.F16, bytes: stored }];
    const checkpoint = await opened(metadataOf("llama"), tensors);
    const entry = checkpoint.tensors.get("model.layers.0.self_attn.q_proj.weight")!;
    for (let start = 0; start <= 512; start += 7) {
      for (let end = start; end <= 512; end += 13) {
        const part = new Uint8Array(end - start);
        await entry.read(part, start);
        if (Buffer.compare(part, bytes.subarray(start, end)) !== 0) throw new Error(`bytes ${start} to ${end} differ`);
      }
    }
    await expect(entry.read(new Uint8Array(2), 511)).rejects.toThrow(RangeError);
    checkpoint.close();
  });

  test("Llama 3's table of rotary factors becomes rope_scaling, another one is refused", async () => {
    const scaling = { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
    const factors = Float32Array.from(llama3Factors(scaling, 8, 500000.5));
    expect(new Set(factors).size).toBeGreaterThan(2);
    const table = { name: "rope_freqs.weight", dims: [4], type: TYPE.F32, bytes: encodeFloats(factors, "F32") };
    const checkpoint = await opened(metadataOf("llama"), [...decoder(), table]);
    expect(configOf(checkpoint).rope_scaling).toEqual({ rope_type: "llama3", ...scaling });
    expect([...checkpoint.tensors.keys()]).toEqual(Object.values(NAMES));
    checkpoint.close();
    table.bytes = encodeFloats(Float32Array.of(1, 2, 3, 4), "F32");
    expect(await refusal(buildGguf(metadataOf("llama"), [...decoder(), table]))).toBe(
      "x.gguf: rope_freqs.weight does not follow Llama 3's formula, so config.json cannot express it",
    );
  });

  test("heads that cannot share the rows are refused", async () => {
    const odd = { ...metadataOf("llama"), "llama.attention.head_count": 5 };
    expect(await refusal(buildGguf(odd, decoder()))).toBe(
      "x.gguf: blk.0.attn_q.weight has 32 rows, which 5 heads with rotary pairs cannot share",
    );
    const none = { ...metadataOf("llama"), "llama.attention.head_count": 0 };
    expect(await refusal(buildGguf(none, decoder()))).toBe(
      "x.gguf: llama.attention.head_count is 0, expected a whole number above 0",
    );
  });
});

test("qwen2 and qwen3 keep the order of their rows", async () => {
  for (const [architecture, extra] of [
    ["qwen2", "blk.0.attn_q.bias"],
    ["qwen3", "blk.0.attn_q_norm.weight"],
  ] as const) {
    const metadata = { ...metadataOf(architecture), [`${architecture}.attention.key_length`]: 16 };
    const checkpoint = await opened(metadata, [...decoder(), f32(extra, [32], 50)]);
    expect(await valuesOf(checkpoint, "model.layers.0.self_attn.q_proj.weight")).toEqual(noise(1024, 2));
    const name = extra === "blk.0.attn_q.bias" ? "self_attn.q_proj.bias" : "self_attn.q_norm.weight";
    expect(await valuesOf(checkpoint, `model.layers.0.${name}`)).toEqual(noise(32, 50));
    expect(configOf(checkpoint)).toMatchObject({ model_type: architecture, head_dim: 16 });
    expect(configOf(checkpoint)).not.toHaveProperty("attention_bias");
    checkpoint.close();
  }
});

describe("qwen3moe", () => {
  const experts = (name: string, dims: number[]) => f32(`blk.0.ffn_${name}.weight`, dims, dims[1]!);
  const tensors = (count: number): GgufTensor[] => [
    ...decoder().filter(({ name }) => !name.includes("ffn_") || name.includes("ffn_norm")),
    experts("gate_inp", [32, 3]),
    experts("gate_exps", [32, 24, count]),
    experts("up_exps", [32, 24, count]),
    { ...experts("down_exps", [32, 32, count]), type: TYPE.Q8_0, bytes: quantizeQ8(noise(32 * 32 * count, 9)) },
    f32("blk.0.attn_q_norm.weight", [8], 50),
  ];
  const metadata = {
    ...metadataOf("qwen3moe"),
    "qwen3moe.expert_count": 3,
    "qwen3moe.expert_used_count": 2,
    "qwen3moe.expert_feed_forward_length": 24,
    "qwen3moe.attention.key_length": 8,
  };

  test("a tensor of all experts becomes one per expert", async () => {
    const checkpoint = await opened(metadata, tensors(3));
    const gate = noise(3 * 24 * 32, 24);
    for (let e = 0; e < 3; e++) {
      const name = `model.layers.0.mlp.experts.${e}.gate_proj.weight`;
      expect(checkpoint.tensors.get(name)).toMatchObject({ name, shape: [24, 32], bytes: 4 * 24 * 32 });
      expect(await valuesOf(checkpoint, name)).toEqual(gate.slice(e * 768, (e + 1) * 768));
      const down = await valuesOf(checkpoint, `model.layers.0.mlp.experts.${e}.down_proj.weight`);
      const wanted = noise(3 * 1024, 9).slice(e * 1024, (e + 1) * 1024);
      expect(down.every((value, i) => Math.abs(value - wanted[i]!) < 1 / 127)).toBeTrue();
    }
    const entry = checkpoint.tensors.get("model.layers.0.mlp.experts.1.up_proj.weight")!;
    await expect(entry.read(new Uint8Array(8), entry.bytes - 4)).rejects.toThrow(RangeError);
    expect(checkpoint.tensors.get("model.layers.0.mlp.gate.weight")!.shape).toEqual([3, 32]);
    expect(configOf(checkpoint)).toMatchObject({
      model_type: "qwen3_moe",
      num_experts: 3,
      num_experts_per_tok: 2,
      moe_intermediate_size: 24,
      norm_topk_prob: true,
    });
    const { architecture } = await describeConfig(configOf(checkpoint) as Json, "x.gguf");
    expect(architecture.name).toBe("qwen3_moe");
    checkpoint.close();
  });

  test("another number of experts is refused", async () => {
    expect(await refusal(buildGguf(metadata, tensors(4)))).toBe(
      "x.gguf: blk.0.ffn_gate_exps.weight is (4, 24, 32), expected 3 experts of two sides",
    );
  });
});

test("a scaling of rotary positions that config.json is not made for is refused by name", async () => {
  const metadata = { ...metadataOf("llama"), "llama.rope.scaling.type": "longrope", "llama.rope.scaling.factor": 4 };
  expect(await refusal(buildGguf(metadata, decoder()))).toBe(
    "x.gguf: rope.scaling.type is longrope, which config.json is not made for",
  );
});

test("an unknown architecture, or an unknown tensor of a known one, keeps all names and the stored order", async () => {
  const experts = [...decoder(), f32("blk.0.ffn_gate_exps.weight", [32, 64, 2])];
  for (const [metadata, tensors] of [
    [metadataOf("gemma4"), decoder()],
    [metadataOf("llama"), experts],
    [{}, decoder()],
  ] as const) {
    const checkpoint = await opened(metadata, [...tensors]);
    expect([...checkpoint.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
    expect(await valuesOf(checkpoint, "blk.0.attn_q.weight")).toEqual(noise(1024, 2));
    expect(checkpoint.files.size).toBe(0);
    checkpoint.close();
  }
});

test("F16 and BF16 pass as they are, and open() knows the file by its first bytes", async () => {
  const half = encodeFloats(noise(64, 1), "F16");
  const brain = encodeFloats(noise(64, 2), "BF16");
  const file = write(
    buildGguf({ "general.architecture": "other" }, [
      { name: "a", dims: [32, 2], type: TYPE.F16, bytes: half },
      { name: "b", dims: [64], type: TYPE.BF16, bytes: brain },
      { name: "none", dims: [0], type: TYPE.F32, bytes: new Uint8Array() },
    ]),
  );
  const checkpoint = await open(file);
  expect(checkpoint.kind).toBe("gguf");
  expect(checkpoint.tensors.get("a")).toMatchObject({ dtype: "F16", shape: [2, 32], bytes: 128 });
  expect(checkpoint.tensors.get("b")).toMatchObject({ dtype: "BF16", shape: [64], bytes: 128 });
  expect(checkpoint.tensors.get("none")).toMatchObject({ shape: [0], bytes: 0 });
  expect(checkpoint.headerSha256).toMatch(/^[0-9a-f]{64}$/);
  for (const [name, expected] of [
    ["a", half],
    ["b", brain],
  ] as const) {
    const found = new Uint8Array(128);
    await checkpoint.tensors.get(name)!.read(found, 0);
    expect(found).toEqual(Uint8Array.from(expected));
  }
  checkpoint.close();
});

test("Q8_0 becomes F32: scale times whole number, to the bit, at any offset and in parts", async () => {
  const values = noise(640 * 32, 3);
  const bytes = quantizeQ8(values);
  const checkpoint = await opened({}, [{ name: "w", dims: [64, 320], type: TYPE.Q8_0, bytes }]);
  const entry = checkpoint.tensors.get("w")!;
  expect(entry).toMatchObject({ dtype: "F32", shape: [320, 64], bytes: values.length * 4 });
  const expected = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const at = Math.floor(i / 32) * 34;
    const scale = decodeFloats(bytes.slice(at, at + 2), "F16")[0]!;
    expected[i] = scale * ((bytes[at + 2 + (i % 32)]! << 24) >> 24);
  }
  expect(await mergeOnCpu(entry)).toEqual(expected);
  let worst = 0;
  for (let i = 0; i < values.length; i++) worst = Math.max(worst, Math.abs(expected[i]! - values[i]!));
  expect(worst).toBeLessThan(1 / 127);
  const whole = new Uint8Array(expected.buffer);
  for (const [start, end] of [
    [0, 1],
    [3, 130],
    [127, 129],
    [4096, 40_001],
    [81_000, 81_920],
  ] as const) {
    const part = new Uint8Array(end - start);
    await entry.read(part, start);
    expect(Buffer.compare(part, whole.subarray(start, end))).toBe(0);
  }
  checkpoint.close();
});

test("Q8_0 query weights are dequantized and put in order", async () => {
  const stored = quantizeQ8(reorder(noise(32 * 32, 8), 4, 32));
  const checkpoint = await opened(metadataOf("llama"), [
    { name: "blk.0.attn_q.weight", dims: [32, 32], type: TYPE.Q8_0, bytes: stored },
  ]);
  const found = await valuesOf(checkpoint, "model.layers.0.self_attn.q_proj.weight");
  const expected = noise(32 * 32, 8);
  for (let i = 0; i < found.length; i++) expect(Math.abs(found[i]! - expected[i]!)).toBeLessThan(1 / 127);
  checkpoint.close();
});

test("a header of several megabytes is read whole, and one that the file cuts short is refused", async () => {
  const metadata = { ...metadataOf("other"), long: "x".repeat(3_000_000), list: ["a", "b"] };
  const bytes = buildGguf(metadata, [f32("w", [8])]);
  const checkpoint = await openGguf(write(bytes), "x.gguf");
  expect(await valuesOf(checkpoint, "w")).toEqual(noise(8, 1));
  checkpoint.close();
  expect(await refusal(bytes.slice(0, 2_500_000))).toBe(
    "x.gguf: a text says it has 3000000 elements, more than fit into the file",
  );
});

describe("refused", () => {
  test("types that are not read, by name", async () => {
    const bytes = buildGguf({}, [{ name: "w", dims: [256], type: 16, bytes: new Uint8Array(144) }]);
    const error = await openGguf(write(bytes), "x.gguf").catch((thrown) => thrown);
    expect(error.message).toBe("x.gguf: tensor w is IQ2_XXS, which is not supported");
    expect(error.hint).toStartWith("supported are F32, F16, Q4_0, Q4_1, ");
    expect(await refusal(buildGguf({}, [{ ...f32("w", [8]), type: 4711 }]))).toBe(
      "x.gguf: tensor w is of type 4711, which is not supported",
    );
  });

  test("counts that the tensors contradict, at once", async () => {
    const started = performance.now();
    const metadata = metadataOf("llama");
    const table = { name: "rope_freqs.weight", dims: [4], type: TYPE.F32, bytes: encodeFloats(noise(4, 1), "F32") };
    const wide = buildGguf({ ...metadata, "llama.embedding_length": 2 ** 32 - 1 }, [...decoder(), table]);
    expect(await refusal(wide)).toBe(
      "x.gguf: llama.embedding_length is 4294967295, but token_embd.weight has rows of 32",
    );
    // Without an embedding nothing contradicts the width but the table.
    const table4 = [{ ...f32("blk.0.attn_q.weight", [32, 32]) }, table];
    const headless = buildGguf({ ...metadata, "llama.embedding_length": 2 ** 32 - 1 }, table4);
    expect(await refusal(headless)).toContain("rope_freqs.weight does not follow Llama 3's formula");
    expect(await refusal(buildGguf({ ...metadata, "llama.block_count": 1e9 }, decoder()))).toBe(
      "x.gguf: llama.block_count is 1000000000, but the blocks with tensors are 1",
    );
    expect(await refusal(buildGguf({ ...metadata, "llama.feed_forward_length": 65 }, decoder()))).toBe(
      "x.gguf: llama.feed_forward_length is 65, but the rows of blk.0.ffn_up.weight are 64",
    );
    const partial = { ...metadata, "llama.rope.dimension_count": 4 };
    expect(await refusal(buildGguf({ ...partial, "llama.attention.key_length": 8 }, decoder()))).toBe(
      "x.gguf: rotary embedding turns 4 of the 8 values of a head",
    );
    expect(performance.now() - started).toBeLessThan(HANG_MS);
  });

  test("arrays, texts and tables longer than the file, before they are read", async () => {
    const good = buildGguf({ list: [1, 2, 3] }, [f32("w", [8])]);
    const changed = (at: number, value: bigint) => {
      const bytes = good.slice();
      new DataView(bytes.buffer).setBigUint64(at, value, true);
      return bytes;
    };
    // After 24 bytes: the key (8 + 4), its type (4), the type of its elements (4), their number.
    for (const count of [2n ** 20n, 2n ** 40n, 2n ** 64n - 1n]) {
      expect(await refusal(changed(44, count))).toBe(
        `x.gguf: list says it has ${count} elements, more than fit into the file`,
      );
      expect(await refusal(changed(24, count))).toBe(
        `x.gguf: a text says it has ${count} elements, more than fit into the file`,
      );
    }
    const typed = good.slice();
    typed[36] = 77;
    expect(await refusal(typed)).toBe("x.gguf: list has a value of type 77");
    const sides = good.slice();
    sides[24 + 12 + 16 + 12 + 9] = 200; // after the list: the tensor's name (8 + 1), then its sides
    expect(await refusal(sides)).toBe("x.gguf: tensor w has 200 sides, expected up to 4");
    const nested = [[[[1]]]];
    expect(await refusal(buildGguf({ nested }, []))).toBe("x.gguf: nested has arrays nested deeper than 2");
  });

  test("a part of a split model whose name does not say which are the others", async () => {
    expect(await refusal(buildGguf({ "split.count": 3 }, [f32("w", [8])]))).toBe(
      "x.gguf is one of 3 parts of a model, and its name does not say which are the others",
    );
  });

  test("tensors outside the file, between its steps, over each other, or twice there", async () => {
    const two = (change: Partial<GgufTensor>) => buildGguf({}, [f32("a", [8]), { ...f32("b", [8]), ...change }]);
    expect(await refusal(two({ offset: 2n ** 63n }))).toContain("x.gguf: tensor b ends at byte 92233720368547759");
    expect(await refusal(two({ offset: 64n }))).toContain("x.gguf: tensor b ends at byte");
    expect(await refusal(two({ offset: 1n }))).toBe("x.gguf: tensor b begins at offset 1, expected a multiple of 32");
    expect(await refusal(two({ offset: 0n }))).toBe("x.gguf: tensors a and b overlap");
    expect(await refusal(two({ name: "a" }))).toBe("x.gguf has two tensors a");
    expect(await refusal(two({ dims: [2n ** 32n, 2n ** 32n, 2n ** 32n] }))).toContain("x.gguf: tensor b ends at byte");
    expect(await refusal(two({ dims: [2n ** 40n] }))).toContain("x.gguf: tensor b ends at byte");
    expect(await refusal(two({ dims: [33], type: TYPE.Q8_0 }))).toBe(
      "x.gguf: tensor b has rows of 33, expected a multiple of 32",
    );
  });

  test("other versions, counts that cannot be, files that are none", async () => {
    const good = buildGguf({ "a.b": "text" }, [f32("w", [8])]);
    const changed = (at: number, value: bigint) => {
      const bytes = good.slice();
      new DataView(bytes.buffer).setBigUint64(at, value, true);
      return bytes;
    };
    expect(await refusal(changed(8, 2n ** 40n))).toContain(
      "x.gguf says it has 1099511627776 tensors, more than fit into its",
    );
    expect(await refusal(changed(16, 100n))).toContain(
      "x.gguf says it has 100 metadata entries, more than fit into its",
    );
    const large = new Uint8Array(16_000_000);
    large.set(changed(8, 600_000n));
    expect(await refusal(large)).toBe("x.gguf says it has 600000 tensors, expected up to 500000");
    const version = good.slice();
    version[4] = 9;
    expect(await refusal(version)).toBe("x.gguf is GGUF version 9, expected 2 or 3 (little-endian)");
    expect(await refusal(new Uint8Array(3))).toBe("x.gguf is 3 bytes long, too short for a GGUF file");
    expect(await refusal(new Uint8Array(64))).toBe("x.gguf does not begin with GGUF");
    expect(await refusal(buildGguf({ "general.alignment": 48 }, [f32("w", [8])]))).toBe(
      "x.gguf: general.alignment is 48, expected a power of two up to 1048576",
    );
    await expect(openGguf(path.join(folder, "missing.gguf"), "missing.gguf")).rejects.toThrow(
      "missing.gguf: no such file",
    );
  });

  test("a file cut short anywhere", async () => {
    const good = buildGguf(metadataOf("llama"), decoder().slice(0, 3));
    for (let length = 0; length < good.length - 32; length += Math.ceil(good.length / 150))
      await refusal(good.slice(0, length));
    // Here the parser sees zeros after the end and is content: the offset's last bytes are missing, the tensor is
    // empty.
    const empty = buildGguf({ text: "to be long enough" }, [
      { name: "none", dims: [0], type: TYPE.F32, bytes: new Uint8Array() },
    ]);
    const end = empty.findLastIndex((byte) => byte !== 0) + 1;
    expect(await refusal(empty.slice(0, end))).toBe(`x.gguf ends inside its header, at byte ${end}`);
  });
});

test("five hundred damaged files are read whole or refused in words", async () => {
  const tensors = [
    ...decoder(),
    { name: "blk.0.attn_k.bias", dims: [16], type: TYPE.BF16, bytes: encodeFloats(noise(16, 1), "BF16") },
  ];
  tensors[7] = { ...tensors[7]!, type: TYPE.Q8_0, bytes: quantizeQ8(noise(2048, 1)) };
  const good = buildGguf(metadataOf("llama"), tensors);
  const headerEnd = good.length - tensors.reduce((all, { bytes }) => all + Math.ceil(bytes.length / 32) * 32, 0);
  const file = path.join(folder, "damaged.gguf");
  let refused = 0;
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 500; round++) {
    const bytes = good.slice();
    for (let change = 0; change <= random(3); change++) {
      const at = random(headerEnd);
      bytes[at] = [0, 255, 127, 128, bytes[at]! ^ (1 << random(8)), random(256)][random(6)]!;
    }
    fs.writeFileSync(file, bytes);
    let checkpoint: Checkpoint | undefined;
    try {
      checkpoint = await openGguf(file, "damaged.gguf");
      for (const entry of checkpoint.tensors.values()) await entry.read(new Uint8Array(entry.bytes), 0);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused++;
    } finally {
      checkpoint?.close();
    }
  }
  expect(refused).toBeGreaterThan(100);
  expect(refused).toBeLessThan(500);
}, 120_000);
