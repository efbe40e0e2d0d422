/** Smaller models cut out of larger ones compute what these do with all else silent. */
import { describe, expect, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { anatomyOf } from "../../../src/model/structure/anatomy.ts";
import type { Units } from "../../../src/model/structure/picked.ts";
import { type Kept, sliceOf, widthSpaces, withReaders } from "../../../src/model/structure/slice.ts";
import { slicedCheckpoint } from "../../../src/model/structure/sliced-checkpoint.ts";
import { Subnet, shapedModel } from "../../../src/model/structure/subnet.ts";
import { mul } from "../../../src/tensor/ops/elementwise.ts";
import type { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { apart, configOf, logitsOf, named, network } from "../../merge/structure/networks.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_EXAMPLES, TINY_NEOX, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();

/** About every other unit of each space of these kinds. */
function halved(checkpoint: Checkpoint, kinds: readonly string[] = ["heads", "inner"]): Units {
  const anatomy = anatomyOf(named(checkpoint));
  const chosen = widthSpaces(anatomy).filter(({ kind }) => kinds.includes(kind));
  const units = chosen.map(({ id, units: n, kind }): [string, Int32Array] => [
    id,
    Int32Array.from({ length: Math.floor(n / 2) }, (_, i) => 2 * i + (kind === "inner" ? 1 : 0)),
  ]);
  return withReaders(new Map(units), anatomy);
}

const cut = async (checkpoint: Checkpoint, kept: Kept) => {
  const model = named(checkpoint);
  return slicedCheckpoint(model, sliceOf(model, kept));
};

/** What a layer reads, with units that went set to 0. */
function silencing(checkpoint: Checkpoint, units: Units): (rec: Recorder) => (module: string, x: Tensor) => Tensor {
  const { axes, inputs } = anatomyOf(named(checkpoint));
  return (rec) => (module, x) => {
    const name = `${module}.weight`;
    const [read] = axes.get(name)?.[inputs.get(name) ?? 1] ?? [];
    const own = read?.space === undefined ? undefined : units.get(read.space);
    if (!own || !read) return x;
    const width = x.shape.at(-1) ?? 0;
    const mask = Float32Array.from({ length: width }, (_, i) => Number(own.includes(Math.floor(i / read.size))));
    return mul(rec, x, rec.constant(mask, [1, width], "mask"));
  };
}

const grouped: Json = { ...TINY_TEXT.llama, hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 2 };
const MODELS: Readonly<Record<string, Json>> = {
  "llama with shared heads of keys": grouped,
  qwen2: { ...grouped, model_type: "qwen2", tie_word_embeddings: true },
  qwen3: { ...grouped, model_type: "qwen3", head_dim: 10 },
  "phi3, fused": { ...grouped, model_type: "phi3", pad_token_id: 0 },
  gpt2: { ...TINY_TEXT.gpt2, n_head: 4 },
  vit: { ...TINY_EXAMPLES.vit },
  mlp: { ...TINY_EXAMPLES.mlp },
  "mlp with batch norms": { ...TINY_EXAMPLES.mlp, hidden_norm: "batch", hidden_act: "gelu" },
};
const ofKind = (name: string): Json => MODELS[name] ?? {};

describe("what is left computes what the whole does with the rest silent", () => {
  test.each(Object.keys(MODELS))("%s", async (name) => {
    const checkpoint = await network(gpu, ofKind(name), 3, name);
    const units = halved(checkpoint);
    const small = await cut(checkpoint, { units });
    const mask = silencing(checkpoint, units);
    const masked = await logitsOf(gpu, checkpoint, (model, rec, inputs) =>
      model.record(rec, inputs, { reads: mask(rec) }),
    );
    const whole = await logitsOf(gpu, checkpoint);
    const found = await logitsOf(gpu, small);
    expect(apart(found, masked)).toBeLessThan(1e-5);
    expect(apart(found, whole)).toBeGreaterThan(1e-2);
    const bytesOf = (from: Checkpoint) => [...from.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    expect(bytesOf(small)).toBeLessThan(bytesOf(checkpoint));
  });
});

test.each(["llama with shared heads of keys", "gpt2", "vit", "mlp"])(
  "a part on the GPU gives the bits of what is cut out: %s",
  async (name) => {
    const checkpoint = await network(gpu, ofKind(name), 4, name);
    const units = halved(checkpoint);
    const layers = name === "mlp" ? undefined : [1];
    const small = await cut(checkpoint, { units, layers });
    const inside = await logitsOf(gpu, checkpoint, async (model, rec, inputs) => {
      const slice = sliceOf(shapedModel(model, name), { units, layers });
      return (await Subnet.make(model, slice, name)).record(rec, inputs);
    });
    expect([...inside]).toEqual([...(await logitsOf(gpu, small))]);
  },
);

test("heads go one block after the other, and numbers are those of the whole model", async () => {
  const checkpoint = await network(gpu, ofKind("gpt2"), 5, "gpt2");
  const first = await cut(checkpoint, { units: new Map([["heads@transformer.h.1", Int32Array.of(0, 2, 3)]]) });
  expect(configOf(first).pruned_heads).toEqual({ 1: [1] });
  const second = await cut(first, {
    units: new Map([
      ["heads@transformer.h.0", Int32Array.of(3)],
      ["heads@transformer.h.1", Int32Array.of(1, 2)],
    ]),
  });
  expect(configOf(second).pruned_heads).toEqual({ 0: [0, 1, 2], 1: [0, 1] });
  const last = await cut(second, { units: new Map(), layers: [1] });
  expect(configOf(last)).toMatchObject({ pruned_heads: { 0: [0, 1] }, n_layer: 1, n_head: 4 });
  expect((await logitsOf(gpu, last)).every(Number.isFinite)).toBe(true);
});

describe("refused", () => {
  test("a width of its own for each block, where config.json has one number", async () => {
    const checkpoint = await network(gpu, grouped, 6, "llama");
    const units = new Map([["inner@model.layers.0", Int32Array.of(1, 2)]]);
    expect(cut(checkpoint, { units })).rejects.toThrow(
      "would keep 2 and 40 hidden units, and config.json has one number",
    );
  });

  test("heads whose size follows from the width", async () => {
    const neox: Json = { ...TINY_NEOX.gpt_neox };
    const checkpoint = await network(gpu, neox, 7, "neox");
    expect(cut(checkpoint, { units: halved(checkpoint, ["heads"]) })).rejects.toThrow(
      "gpt_neox cannot hold what is left",
    );
    const inner = await cut(checkpoint, { units: halved(checkpoint, ["inner"]) });
    expect(configOf(inner).intermediate_size).toBe(20);
  });

  test("heads that are normalised together", async () => {
    const checkpoint = await network(gpu, { ...grouped, model_type: "olmo2" }, 8, "olmo2");
    expect(cut(checkpoint, { units: halved(checkpoint, ["heads"]) })).rejects.toThrow("over all heads together");
  });

  test("blocks of a perceptron, and a block without heads", async () => {
    const checkpoint = await network(gpu, ofKind("mlp"), 9, "mlp");
    expect(cut(checkpoint, { units: new Map(), layers: [0] })).rejects.toThrow("no blocks on a residual stream");
    const pruned = { ...TINY_TEXT.gpt2, pruned_heads: { 0: [0, 1, 2] } };
    expect(Model.fresh(gpu, pruned, "gpt2", { seed: 0 })).rejects.toThrow("leaves no head in block 0");
  });
});
