/** Mixes of types: the layers and matrices that get more bits, worked out by hand from llama.cpp's rules. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gguf } from "@huggingface/gguf";
import { MIX_NAMES, type MixedModel, type MixName, mixedType } from "../../../../src/checkpoint/gguf/write/mixes.ts";
import { UserError } from "../../../../src/errors.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";
import { sampleOf, write } from "./fixture.ts";

/** The sizes of Llama 3 8B. */
const LLAMA: MixedModel = { name: "llama", layers: 32, heads: 32, keyHeads: 8, experts: 0, tied: false };

/** Layers of a matrix by the type that they get. */
function layersOf(mix: MixName, matrix: string, model = LLAMA): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  for (let layer = 0; layer < model.layers; layer++) {
    const type = mixedType(mix, `blk.${layer}.${matrix}.weight`, model);
    found[type] = [...(found[type] ?? []), layer];
  }
  return found;
}
const all = (type: string, model = LLAMA) => ({ [type]: Array.from({ length: model.layers }, (_, layer) => layer) });

/** The first and last four of 32, and 6, 9, 12 and so on between. */
const MORE = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31];
const LESS = [4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23, 25, 26];
const FIRST = [0, 1, 2, 3];
const LATER = Array.from({ length: 28 }, (_, layer) => layer + 4);

describe("32 layers", () => {
  test.each([
    ["q4_k_m", "attn_v", { q6_k: MORE, q4_k: LESS }],
    ["q4_k_m", "ffn_down", { q6_k: MORE, q4_k: LESS }],
    ["q4_k_m", "ffn_up", all("q4_k")],
    ["q4_k_m", "attn_qkv", all("q5_k")],
    ["q4_k_s", "attn_v", { q5_k: FIRST, q4_k: LATER }],
    ["q4_k_s", "ffn_down", { q5_k: FIRST, q4_k: LATER }],
    ["q5_k_m", "ffn_down", { q6_k: MORE, q5_k: LESS }],
    ["q5_k_m", "attn_qkv", all("q6_k")],
    ["q5_k_s", "attn_v", all("q5_k")],
    ["q3_k_s", "attn_v", all("q3_k")],
    ["q3_k_m", "attn_v", { q5_k: [0, 1], q4_k: [2, 3, ...LATER] }],
    ["q3_k_m", "ffn_down", { q5_k: [0, 1], q4_k: [2, 3, ...LATER] }],
    ["q3_k_m", "attn_output", all("q4_k")],
    ["q3_k_l", "ffn_down", all("q5_k")],
    ["q2_k_m", "attn_v", all("q4_k")],
    ["q2_k_m", "attn_output", all("q3_k")],
    ["q2_k_s", "ffn_down", { q4_k: FIRST, q2_k: LATER }],
  ] as [MixName, string, Record<string, number[]>][])("%s: %s", (mix, matrix, wanted) =>
    expect(layersOf(mix, matrix)).toEqual(wanted),
  );
});

test("heads that share few values, 70B and eight experts have rules of their own", () => {
  expect(layersOf("q2_k_m", "attn_v", { ...LLAMA, keyHeads: 16 })).toEqual(all("q3_k"));
  const large = { ...LLAMA, layers: 80 };
  expect(Object.keys(layersOf("q4_k_m", "attn_v", large)).sort()).toEqual(["q5_k", "q6_k"]);
  expect(layersOf("q3_k_s", "attn_v", large)).toEqual(all("q5_k", large));
  const mixtral = { ...LLAMA, experts: 8 };
  expect(layersOf("q4_k_m", "attn_v", mixtral)).toEqual(all("q8_0"));
  expect(layersOf("q4_k_m", "attn_k", mixtral)).toEqual(all("q8_0"));
  expect(layersOf("q4_k_m", "attn_output", mixtral)).toEqual(all("q5_k"));
  expect(layersOf("q3_k_l", "attn_output", mixtral)).toEqual(all("q3_k"));
  expect(layersOf("q4_k_m", "ffn_down_exps", mixtral)).toEqual({ q6_k: MORE, q4_k: LESS });
});

test("the head gets six bits, as the embedding does where it is the head", () => {
  for (const mix of MIX_NAMES) {
    expect(mixedType(mix, "output.weight", LLAMA)).toBe("q6_k");
    expect(mixedType(mix, "token_embd.weight", LLAMA)).toBe(mix.slice(0, 4) as "q4_k");
    expect(mixedType(mix, "token_embd.weight", { ...LLAMA, tied: true })).toBe("q6_k");
  }
});

describe("in a file", () => {
  let top: string;
  beforeAll(() => {
    top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-mixes-"));
  });
  afterAll(() => fs.rmSync(top, { recursive: true }));

  const config = {
    ...TINY_TEXT.llama!,
    hidden_size: 256,
    intermediate_size: 256,
    num_hidden_layers: 8,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    tie_word_embeddings: false,
  };

  test("a mix, with a type of its own for a pattern", async () => {
    const sample = await sampleOf(config, "F32");
    const file = path.join(top, "mixed.gguf");
    await write(sample, file, { ggufType: ["Q4_K_M,blk.7.*=q8_0"] });
    const { metadata, tensorInfos } = await gguf(file, { allowLocalFile: true });
    expect(metadata).toMatchObject({ "general.file_type": 15 });
    const types = new Map(tensorInfos.map(({ name, dtype }) => [name, dtype as number]));
    const [Q4_K, Q6_K, Q8_0] = [12, 14, 8];
    const down = Array.from({ length: 8 }, (_, layer) => types.get(`blk.${layer}.ffn_down.weight`));
    expect(down).toEqual([Q6_K, Q4_K, Q4_K, Q6_K, Q4_K, Q4_K, Q6_K, Q8_0]);
    expect(["output.weight", "token_embd.weight", "blk.0.attn_q.weight"].map((name) => types.get(name))).toEqual([
      Q6_K,
      Q4_K,
      Q4_K,
    ]);
  });

  test("a mix is for a whole model", async () => {
    const sample = await sampleOf(config, "F32");
    const file = path.join(top, "none.gguf");
    for (const [type, message] of [
      [" ,", /--gguf-type names no type/],
      ["q8_0,*.ffn_down.*=q4_k_m", /q4_k_m is a mix of types for a whole model/],
      ["q4_k_m,q8_0", /two types for all matrices, q4_k_m and q8_0/],
      ["q4_k_x", /"q4_k_x" is not a type/],
    ] as const) {
      const failed = write(sample, file, { ggufType: [type] });
      await expect(failed).rejects.toThrow(message);
      await expect(failed).rejects.toBeInstanceOf(UserError);
    }
    expect(fs.existsSync(file)).toBe(false);
  });
});
