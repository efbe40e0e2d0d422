import { describe, expect, test } from "bun:test";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { withSplitExperts } from "../../src/checkpoint/expert-layout.ts";
import { type Given, held } from "./adapter/fixture.ts";

const counting = (count: number, from = 0) => Float32Array.from({ length: count }, (_, i) => from + i);

/** Two experts of inner width 3 and width 2; every value is its place in the stack. */
const STACKS: Record<string, Given> = {
  "model.layers.0.mlp.gate.weight": { shape: [2, 2] },
  "model.layers.0.mlp.experts.gate_up_proj": { shape: [2, 6, 2], values: counting(24) },
  "model.layers.0.mlp.experts.down_proj": { shape: [2, 2, 3], values: counting(12, 100), dtype: "BF16" },
};

const model = (type: string, tensors = STACKS) => held("m", tensors, { "config.json": { model_type: type } });

async function values({ tensors }: Checkpoint, name: string): Promise<[readonly number[], number[]]> {
  const entry = tensors.get(name)!;
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  return [entry.shape, [...decodeFloats(bytes, entry.dtype)]];
}

describe("stacks of experts", () => {
  test("are split into a tensor per expert, in place", async () => {
    const told: string[] = [];
    const split = withSplitExperts(model("qwen3_moe"), (message) => told.push(message));
    const at = "model.layers.0.mlp.experts";
    expect([...split.tensors.keys()]).toEqual([
      "model.layers.0.mlp.gate.weight",
      ...[0, 1].flatMap((n) => [`${at}.${n}.gate_proj.weight`, `${at}.${n}.up_proj.weight`]),
      ...[0, 1].map((n) => `${at}.${n}.down_proj.weight`),
    ]);
    expect(await values(split, `${at}.1.gate_proj.weight`)).toEqual([
      [3, 2],
      [12, 13, 14, 15, 16, 17],
    ]);
    expect(await values(split, `${at}.1.up_proj.weight`)).toEqual([
      [3, 2],
      [18, 19, 20, 21, 22, 23],
    ]);
    expect(await values(split, `${at}.1.down_proj.weight`)).toEqual([
      [2, 3],
      [106, 107, 108, 109, 110, 111],
    ]);
    const part = new Uint8Array(4);
    await split.tensors.get(`${at}.1.up_proj.weight`)!.read(part, 8);
    expect([...decodeFloats(part, "F32")]).toEqual([20]);
    expect(told).toEqual(["m holds its experts as 2 stacks; they are split into a tensor per expert"]);
  });

  test("get the names of Mixtral where it is one, its router too", () => {
    const split = withSplitExperts(model("mixtral"), () => {});
    const at = "model.layers.0.block_sparse_moe";
    expect([...split.tensors.keys()]).toEqual([
      `${at}.gate.weight`,
      ...[0, 1].flatMap((n) => [`${at}.experts.${n}.w1.weight`, `${at}.experts.${n}.w3.weight`]),
      ...[0, 1].map((n) => `${at}.experts.${n}.w2.weight`),
    ]);
  });

  test("stay where the model is stored so, or its rows do not follow each other", () => {
    const untouched = (checkpoint: Checkpoint) => expect(withSplitExperts(checkpoint, () => {})).toBe(checkpoint);
    untouched(model("gpt_oss"));
    untouched(held("m", STACKS));
    const turned = {
      "model.layers.0.mlp.experts.gate_up_proj": { shape: [2, 2, 6] },
      "model.layers.0.mlp.experts.down_proj": { shape: [2, 3, 2] },
    };
    untouched(model("qwen3_moe", turned));
    const codes = Object.fromEntries(
      Object.entries(STACKS).map(([name, { shape }]) => [name, { shape, dtype: "F8_E4M3" as const }]),
    );
    untouched(model("qwen3_moe", codes));
    untouched(model("qwen3_moe", { "model.layers.0.mlp.experts.gate_up_proj": { shape: [2, 6, 2] } }));
  });
});
