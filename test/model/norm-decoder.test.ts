/** Where the norms of a decoder stand: what it shares with Llama and Qwen3, and what no other architecture has. */
import { expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { LayerView } from "../../src/run/probing/layer-view.ts";
import { muRates, scaleHead } from "../../src/run/training/mu-rates.ts";
import { sharedGpu } from "../support/gpu.ts";
import { logitsOf } from "../support/logits.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const IDS = [3, 14, 15, 9, 26, 5];
const BATCH = collate([[{ ids: Int32Array.from(IDS), labels: Int32Array.from(IDS), group: 0, place: "" }]]);
const fresh = (more: Json, of: Json = TINY_TEXT.llama!) => Model.fresh(gpu, { ...of, ...more }, "m", { seed: 4 });
const placed = (placement: string, more: Json = {}) =>
  fresh({ model_type: "norm_decoder", norm_placement: placement, ...more });

/** Logits of the row, and then of the model with every o_proj ten times as large. */
async function scaledTwice(model: Model): Promise<[Float32Array, Float32Array]> {
  const before = await logitsOf(gpu, model, BATCH);
  for (const { name, buffer, size } of model.parameters.values()) {
    if (!name.endsWith("o_proj.weight")) continue;
    const values = await gpu.readFloats(buffer, size);
    model.parameters.get(name)!.write(values.map((x) => 10 * x));
  }
  return [before, await logitsOf(gpu, model, BATCH)];
}

const apart = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

test("norms before the halves are Llama's, and with norms of q and k Qwen3's", async () => {
  const llama = await logitsOf(gpu, await fresh({}), BATCH);
  expect(await logitsOf(gpu, await placed("pre"), BATCH)).toEqual(llama);
  const qwen = await logitsOf(gpu, await fresh({ model_type: "qwen3" }), BATCH);
  expect(await logitsOf(gpu, await placed("pre", { qk_norm: true }), BATCH)).toEqual(qwen);
  const half = await logitsOf(gpu, await placed("pre", { base_width: 12 }), BATCH);
  expect(
    apart(
      half,
      llama.map((x) => x / 2),
    ),
  ).toBeLessThan(1e-6);
});

test.each(["peri", "out"])("a norm behind a half takes the scale out of its projection: %s", async (placement) => {
  const [before, after] = await scaledTwice(await placed(placement));
  expect(apart(before, after)).toBeLessThan(2e-3 * Math.max(...before.map(Math.abs)));
});

test.each(["pre", "post"])("where none stands there, the scale counts: %s", async (placement) => {
  const [before, after] = await scaledTwice(await placed(placement));
  expect(apart(before, after)).toBeGreaterThan(0.05 * Math.max(...before.map(Math.abs)));
});

test("norms of sums leave states of unit size", async () => {
  const model = await placed("post");
  const view = await LayerView.make(model, [BATCH], { rows: 100 });
  for (const { layer, values, width } of await view.read()) {
    if (layer === "hidden.0") continue;
    for (let row = 0; row < values.length / width; row++) {
      const own = values.subarray(row * width, (row + 1) * width);
      expect(Math.sqrt(own.reduce((sum, x) => sum + x * x, 0) / width)).toBeCloseTo(1, 3);
    }
  }
  view.free();
});

test("rates of hidden matrices are those of another width, and the head begins and learns by it", async () => {
  const model = await fresh({});
  const rate = muRates(12, model); // of width 24
  const of = (name: string) => rate(model.parameters.get(name)!);
  expect(of("model.layers.0.mlp.up_proj.weight")).toBe(0.5);
  expect(of("lm_head.weight")).toBe(0.5);
  for (const name of ["model.embed_tokens.weight", "model.norm.weight"]) expect(of(name)).toBe(1);
  const head = model.parameters.get("lm_head.weight")!;
  const before = await gpu.readFloats(head.buffer, head.size);
  await scaleHead(12, model);
  expect(await gpu.readFloats(head.buffer, head.size)).toEqual(before.map((x) => x / 2));
  // A model that scales its outputs itself keeps its head.
  const own = await placed("pre", { base_width: 12 });
  expect(muRates(12, own)(own.parameters.get("lm_head.weight")!)).toBe(1);
  expect(() => muRates(8, own)).toThrow("the config of this model says base_width 12");
  const tied = await fresh({ tie_word_embeddings: true });
  expect(() => muRates(8, tied)).toThrow("has no head of its own to scale");
  const classifier = await Model.fresh(gpu, TINY_EXAMPLES.mlp!, "c", { seed: 0 });
  expect(muRates(classifier.sizes.width, classifier)(classifier.trainable()[0]!)).toBe(1);
});
