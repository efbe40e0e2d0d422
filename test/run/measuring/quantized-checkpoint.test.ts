import { expect, test } from "bun:test";
import type { Checkpoint, TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { quantized, roundRows } from "../../../src/run/measuring/quantized-checkpoint.ts";
import { normals } from "../../support/random.ts";

test("every row has its own scale; the largest value stays, halves go away from 0", () => {
  const values = Float32Array.of(7, 0.4, -0.5, 3.6, 14, 1, -0.9, 0, 0, 0, 0, 0);
  roundRows(values, 4, 4);
  expect([...values].map((x) => x + 0)).toEqual([7, 0, -1, 4, 14, 2, 0, 0, 0, 0, 0, 0]);
});

test.each([4, 8])("%d bits: no value is off by more than half a step, and few values are left", (bits) => {
  const [before, width, steps] = [normals(1, 5 * 33), 33, 2 ** (bits - 1) - 1];
  const after = before.slice();
  roundRows(after, width, bits);
  const again = after.slice();
  roundRows(again, width, bits);
  for (let row = 0; row < 5; row++) {
    const part = (list: Float32Array) => list.subarray(row * width, (row + 1) * width);
    const most = Math.max(...part(before).map(Math.abs));
    for (const [i, x] of part(before).entries()) {
      expect(Math.abs(part(after)[i]! - x)).toBeLessThanOrEqual((most / steps / 2) * (1 + 1e-5));
      expect(part(again)[i]!).toBeCloseTo(part(after)[i]!, 5);
    }
    if (bits === 4) expect(new Set(part(after).map((x) => x + 0)).size).toBeLessThanOrEqual(2 * steps + 1);
  }
});

test("a tensor is read once, piece by piece; embeddings, heads and vectors stay", async () => {
  const bytes = encodeFloats(normals(2, 6 * 5), "BF16");
  let reads = 0;
  const entry = (name: string, shape: number[]): [string, TensorEntry] => [
    name,
    {
      name,
      shape,
      dtype: "BF16",
      bytes: bytes.length,
      read: async (into, offset) => {
        reads++;
        into.set(bytes.subarray(offset, offset + into.length));
      },
    },
  ];
  const [layer, embedding] = ["model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"];
  const tensors = new Map([
    entry(layer, [6, 5]),
    entry(embedding, [6, 5]),
    entry("lm_head.weight", [6, 5]),
    entry("model.norm.weight", [30]),
  ]);
  const after = quantized({ tensors } as unknown as Checkpoint, 4).tensors;
  for (const name of [embedding, "lm_head.weight", "model.norm.weight"])
    expect(after.get(name)).toBe(tensors.get(name)!);
  const found: Uint8Array = new Uint8Array(bytes.length);
  await after.get(layer)!.read(found.subarray(0, 26), 0);
  await after.get(layer)!.read(found.subarray(26), 26);
  expect(reads).toBe(1);
  const expected = decodeFloats(bytes, "BF16");
  roundRows(expected, 5, 4);
  expect(found).toEqual(encodeFloats(expected, "BF16"));
});
