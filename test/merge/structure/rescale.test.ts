/** Coalescing and de-coalescing: the function that width keeps, the way back, numbers by hand, refusals. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { entryOf } from "../../support/entry.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_NEOX, TINY_TEXT } from "../../support/tiny-models.ts";
import { apart, checkpointOf, configOf, logitsOf, mergedBy, named, network, valuesOf } from "./networks.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();

const sizes = { vocab_size: 50, max_position_embeddings: 64, initializer_range: 0.3 };
const MODELS: Readonly<Record<string, Json>> = {
  ...{ ...TINY_TEXT, ...TINY_NEOX, ...TINY_DECODERS },
  ...{ mixtral: TINY_EXPERTS.mixtral!, olmoe: TINY_EXPERTS.olmoe! },
  mlp: { model_type: "mlp", input_size: 7, hidden_sizes: [12, 9], num_labels: 3 },
  "grouped heads, fused": {
    ...{ model_type: "phi3", hidden_size: 32, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 8 },
    ...{ num_key_value_heads: 4, ...sizes },
  },
};

/** Models whose parts are not all known, or whose computation depends on their width. */
const REFUSED = /^(gemma|deepseek_v|glm4_moe|gpt_oss)|logits scaled$/;

const floats = async ({ tensors }: Checkpoint, name: string) => decodeFloats(await valuesOf(tensors.get(name)!), "F32");

describe.each(Object.keys(MODELS))("%s", (name) => {
  test("computes the same with twice the width, and is itself again with half of that", async () => {
    const model = await network(gpu, MODELS[name]!, 4);
    if (REFUSED.test(name)) {
      const refused = mergedBy(gpu, "decoalesce", { models: [model], values: { depth: "1" } });
      await expect(refused).rejects.toThrow(/does not know what|depends on the width/);
      return;
    }
    const values = { width: "2", depth: "1" };
    const { checkpoint: wide, plan } = await mergedBy(gpu, "decoalesce", { models: [model], values });
    expect(apart(await logitsOf(gpu, wide), await logitsOf(gpu, model))).toBeLessThan(2e-5);
    expect(plan.tensors.length).toBeGreaterThanOrEqual(model.tensors.size);
    const { checkpoint: back } = await mergedBy(gpu, "coalesce", { models: [wide], values });
    const other: string[] = [];
    for (const [tensor, entry] of model.tensors)
      if (Buffer.compare(await valuesOf(entry), await valuesOf(back.tensors.get(tensor)!)) !== 0) other.push(tensor);
    expect(other).toEqual([]);
    const [{ tie_word_embeddings: _, ...before }, { tie_word_embeddings: __, ...after }] = [
      configOf(model),
      configOf(back),
    ];
    expect(after).toEqual(before);
  });
});

describe("coalesce", () => {
  const config = {
    ...{ model_type: "llama", hidden_size: 4, intermediate_size: 2, num_hidden_layers: 2, num_attention_heads: 2 },
    ...{ num_key_value_heads: 2, vocab_size: 2, max_position_embeddings: 8, tie_word_embeddings: true },
  };

  test("by hand: means of what is written, sums of what is read, pairs of blocks", async () => {
    const model = await network(gpu, config, 1);
    const ramp = (tensor: string, shape: readonly number[]) =>
      entryOf(
        tensor,
        "F32",
        shape,
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i + 1),
      );
    const tensors = [...model.tensors.values()].map(({ name, shape }) =>
      name.includes("layers.1")
        ? entryOf(name, "F32", shape, new Float32Array(shape.reduce((a, b) => a * b)))
        : ramp(name, shape),
    );
    const { checkpoint, plan } = await mergedBy(gpu, "coalesce", { models: [checkpointOf("ramp", config, tensors)] });
    // Rows (1 2 3 4), (5 6 7 8): means of neighbours. The head, which is tied, sums them.
    expect([...(await floats(checkpoint, "model.embed_tokens.weight"))]).toEqual([1.5, 3.5, 5.5, 7.5]);
    expect([...(await floats(checkpoint, "lm_head.weight"))]).toEqual([3, 7, 11, 15]);
    expect([...(await floats(checkpoint, "model.norm.weight"))]).toEqual([1.5, 3.5]);
    // gate_proj (2, 4) of block 0: one hidden unit reads sums of pairs of the mean row (3 4 5 6); block 1 is zero.
    expect([...(await floats(checkpoint, "model.layers.0.mlp.gate_proj.weight"))]).toEqual([(3 + 4) / 2, (5 + 6) / 2]);
    // down_proj (4, 2): writes means of pairs of rows, reads sums: rows (1 2) (3 4) (5 6) (7 8).
    expect([...(await floats(checkpoint, "model.layers.0.mlp.down_proj.weight"))]).toEqual([10 / 2 / 2, 26 / 2 / 2]);
    // q_proj (4, 4), two heads of two rows: row d of the one head is the mean of rows d and 2 + d.
    const rows = [0, 1].map((d) =>
      [0, 2].map((c) => (4 * d + c + 1 + (4 * d + c + 2) + (4 * (d + 2) + c + 1) + (4 * (d + 2) + c + 2)) / 2 / 2),
    );
    expect([...(await floats(checkpoint, "model.layers.0.self_attn.q_proj.weight"))]).toEqual(rows.flat());
    expect(configOf(checkpoint)).toMatchObject({
      ...{ hidden_size: 2, intermediate_size: 1, num_hidden_layers: 1, num_attention_heads: 1 },
      ...{ num_key_value_heads: 1, tie_word_embeddings: false },
    });
    expect(plan.warnings).toContain(
      "the head becomes a tensor of its own: an embedding is averaged and a head is summed",
    );
    expect((await logitsOf(gpu, checkpoint)).every(Number.isFinite)).toBe(true);
  });

  test("--pair queries leaves heads of keys and values as they are", async () => {
    const shared = {
      ...config,
      hidden_size: 16,
      intermediate_size: 4,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      vocab_size: 50,
      max_position_embeddings: 64,
      initializer_range: 0.3,
    };
    const model = await network(gpu, shared, 2);
    await expect(mergedBy(gpu, "coalesce", { models: [model] })).rejects.toThrow(
      "kv@model.layers.0 has 1 parts, which 2",
    );
    const values = { pair: "queries", depth: "1" };
    const { checkpoint: wide } = await mergedBy(gpu, "decoalesce", { models: [model], values });
    expect(configOf(wide)).toMatchObject({ num_attention_heads: 8, num_key_value_heads: 1, hidden_size: 32 });
    expect(apart(await logitsOf(gpu, wide), await logitsOf(gpu, model))).toBeLessThan(2e-5);
    const { checkpoint: back } = await mergedBy(gpu, "coalesce", { models: [wide], values });
    for (const [tensor, entry] of model.tensors)
      expect([tensor, await valuesOf(back.tensors.get(tensor)!)]).toEqual([tensor, await valuesOf(entry)]);
  });

  test("what does not divide, and blocks that differ, are refused by name", async () => {
    const model = await network(gpu, config, 1);
    const by = (values: Record<string, string>, one = model, method = "coalesce") =>
      mergedBy(gpu, method, { models: [one], values });
    await expect(by({ width: "3", depth: "1" })).rejects.toThrow("width has 4 parts, which 3 does not divide");
    await expect(by({ width: "1", depth: "3" })).rejects.toThrow("m1 has 2 blocks, which 3 does not divide");
    await expect(by({ width: "0" })).rejects.toThrow("width");
    const mixed = {
      ...TINY_DECODERS.olmo3,
      num_hidden_layers: 4,
      layer_types: [0, 1].flatMap(() => ["sliding_attention", "full_attention"]),
    };
    await expect(by({ width: "1" }, await network(gpu, mixed, 1))).rejects.toThrow(
      "layer_types of m1 says by its number",
    );
    const mlp = await network(gpu, MODELS.mlp!, 1);
    await expect(by({ width: "3" }, mlp)).rejects.toThrow("one stack of blocks on a residual stream");
    const bare = { ...model, files: new Map() };
    await expect(by({}, bare)).rejects.toThrow("does not know what the sides of");
  });
});

test("deeper by copies: blocks in order, and config.json counts them", async () => {
  const model = await network(gpu, MODELS.llama!, 5);
  const { checkpoint } = await mergedBy(gpu, "decoalesce", { models: [model], values: { width: "1", depth: "3" } });
  expect(configOf(checkpoint).num_hidden_layers).toBe(6);
  for (let layer = 0; layer < 6; layer++) {
    const rest = "self_attn.o_proj.weight";
    const wanted = await valuesOf(model.tensors.get(`model.layers.${Math.floor(layer / 3)}.${rest}`)!);
    expect(await valuesOf(checkpoint.tensors.get(`model.layers.${layer}.${rest}`)!)).toEqual(wanted);
  }
  expect(named(checkpoint).stacks.get("model.layers")!.count).toBe(6);
  expect((await logitsOf(gpu, checkpoint)).every(Number.isFinite)).toBe(true);
});
