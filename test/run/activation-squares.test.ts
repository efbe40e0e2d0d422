/** Squares of what layers read: as float64 has them, whatever the batch, and token by token for experts. */
import { describe, expect, test } from "bun:test";
import { GGUF_MODEL_TYPES } from "../../src/checkpoint/gguf/architectures.ts";
import { collate } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { Model } from "../../src/model/model.ts";
import { measureActivationSquares } from "../../src/run/activation-squares.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();

const sequence = (list: readonly number[]): Sequence => {
  const ids = Int32Array.from(list);
  return { ids, labels: ids, group: 0, place: "here" };
};
const ROWS = [
  [1, 2, 3, 4, 5],
  [9, 8],
  [7, 7, 7, 30, 31, 32, 33],
].map(sequence);
const TOKENS = 14;

const batchesOf = (rows: number) =>
  Array.from({ length: Math.ceil(ROWS.length / rows) }, (_, i) =>
    collate(ROWS.slice(i * rows, (i + 1) * rows).map((one) => [one])),
  );

async function valuesOf(model: Model, name: string): Promise<Float32Array> {
  const { buffer, size } = model.parameters.get(name)!;
  return gpu.read(buffer, 0, 4 * size, (view) => new Float32Array(view.slice(0, 4 * size).buffer));
}

describe("a llama", () => {
  test("what the first layer reads is the normalised embedding, without padding", async () => {
    const model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 3, freeze: () => true });
    const found = await measureActivationSquares(model, batchesOf(3), { signal });
    const embedding = await valuesOf(model, "model.embed_tokens.weight");
    const gain = await valuesOf(model, "model.layers.0.input_layernorm.weight");
    const wanted = new Float64Array(24);
    for (const { ids } of ROWS) {
      for (const id of ids) {
        const x = embedding.subarray(24 * id, 24 * (id + 1));
        const mean = x.reduce((sum, value) => sum + value * value, 0) / 24 + 1e-5;
        for (const [i, value] of x.entries()) wanted[i]! += (value * value * gain[i]! ** 2) / mean;
      }
    }
    for (const name of ["q", "k", "v"]) {
      const { sums, counts, columns } = found.get(`model.layers.0.self_attn.${name}_proj`)!;
      expect([columns, ...counts]).toEqual([24, TOKENS]);
      for (const [i, sum] of sums.entries()) expect(sum).toBeCloseTo(wanted[i]!, 4);
    }
    expect([...found.keys()]).toEqual(
      [0, 1].flatMap((layer) =>
        ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"].map(
          (name) => `model.layers.${layer}.${name}_proj`,
        ),
      ),
    );
    model.free();
  });

  test("rows beside each other change nothing, and a second run nothing at all", async () => {
    const model = await Model.fresh(gpu, TINY_TEXT.qwen3!, "test", { seed: 3, freeze: () => true });
    const [all, again, single] = [
      await measureActivationSquares(model, batchesOf(3), { signal }),
      await measureActivationSquares(model, batchesOf(3), { signal }),
      await measureActivationSquares(model, batchesOf(1), { signal }),
    ];
    for (const [module, { sums, counts }] of all) {
      expect(again.get(module)!.sums).toEqual(sums);
      expect(single.get(module)!.counts).toEqual(counts);
      for (const [i, sum] of single.get(module)!.sums.entries()) {
        expect(Math.abs(sum - sums[i]!)).toBeLessThan(1e-4 * (1 + sums[i]!));
      }
    }
    model.free();
  });
});

const WRITTEN = Object.entries({ ...TINY_TEXT, ...TINY_DECODERS, ...TINY_EXPERTS }).filter(([, json]) =>
  GGUF_MODEL_TYPES.includes(String(json.model_type)),
);

test.each(WRITTEN)("every matrix of the layers of %s is measured, and what it reads is as wide", async (_, json) => {
  const model = await Model.fresh(gpu, json, "test", { seed: 3, freeze: () => true });
  const found = await measureActivationSquares(model, batchesOf(3), { signal });
  const matrices = [...model.parameters.values()].filter(
    ({ name, shape }) => name.startsWith("model.layers.") && shape.length > 1,
  );
  expect(matrices.length).toBeGreaterThan(0);
  for (const { name, shape } of matrices) {
    const { columns, counts } = found.get(name.replace(/\.weight$/, ""))!;
    expect([name, columns, counts.length]).toEqual([name, shape.at(-1)!, shape.length === 3 ? shape[0]! : 1]);
  }
  expect(found.size).toBe(matrices.length);
  model.free();
});

test.each(["mixtral", "qwen2_moe", "olmoe"])(
  "experts of %s: each token counts for those that it takes",
  async (name) => {
    const json = TINY_EXPERTS[name]!;
    const model = await Model.fresh(gpu, json, "test", { seed: 3, freeze: () => true });
    const found = await measureActivationSquares(model, batchesOf(2), { signal });
    const module = `model.layers.1.${name === "mixtral" ? "block_sparse_moe" : "mlp"}`;
    const perToken = Number(json.num_experts_per_tok);
    const router = found.get(`${module}.gate`)!;
    const stacks = [...found].filter(([one]) => one.startsWith(`${module}.experts.`));
    expect(stacks).toHaveLength(3);
    for (const [stack, { columns, sums, counts }] of stacks) {
      expect(counts).toHaveLength(Number(json.num_local_experts ?? json.num_experts));
      expect(counts.reduce((a, b) => a + b, 0)).toBe(perToken * TOKENS);
      for (const [e, count] of counts.entries()) {
        const sum = sums.subarray(e * columns, (e + 1) * columns).reduce((a, b) => a + b, 0);
        expect([stack, e, count === 0, sum === 0]).toEqual([stack, e, count === 0, count === 0]);
      }
      if (columns !== router.columns || /down|w2/.test(stack)) continue;
      // All experts together read what the router reads, once for each expert of a token.
      for (let i = 0; i < columns; i++) {
        const together = counts.reduce((sum, _, e) => sum + sums[e * columns + i]!, 0);
        expect(together).toBeCloseTo(perToken * router.sums[i]!, 3);
      }
    }
    model.free();
  },
);
