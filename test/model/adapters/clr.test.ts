/** Channel-wise reprogramming: what it begins as, how many numbers it has, and how it writes token by token. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { method } from "../../../src/model/adapters/methods/clr.ts";
import { Model } from "../../../src/model/model.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_ENCODERS, TINY_EXAMPLES, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const JSON_OF = TINY_TEXT.llama!;
const fresh = (values: Readonly<Record<string, unknown>>, seed = 3) =>
  Model.fresh(gpu, JSON_OF, "llama", { seed, adapter: { type: bindDefaults(method, values), seed: 1 } });
const batchOf = (rows: readonly (readonly number[])[]) =>
  collate(
    rows.map((row, i) => [{ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }]),
    { buckets: "none" },
  );
const BATCH = batchOf([
  [1, 5, 7, 2, 9, 36],
  [4, 8, 15, 16, 23, 30],
]);

async function shake(model: Model): Promise<void> {
  for (const [i, parameter] of model.trainable().entries()) {
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    const noise = normals(i, parameter.size, 0.3);
    parameter.write(values.map((x, at) => x + noise[at]!));
  }
}

test("begins as the base, to the bit, with K numbers a channel and the norms beside them", async () => {
  const plain = await Model.fresh(gpu, JSON_OF, "llama", { seed: 3 });
  const model = await fresh({});
  expect(await logitsOf(gpu, model, BATCH)).toEqual(await logitsOf(gpu, plain, BATCH));
  const sizes = Object.fromEntries(model.trainable().map(({ name, size }) => [name, size]));
  expect(sizes["base_model.model.model.layers.0.mlp.gate_proj.clr_w"]).toBe(40 * 3);
  expect(sizes["base_model.model.model.layers.1.self_attn.k_proj.clr_w"]).toBe(8 * 3);
  const norms = Object.keys(sizes).filter((name) => name.includes("norm"));
  expect(norms.length).toBe(5);
  const channels = 24 + 8 + 8 + 24 + 40 + 40 + 24; // of a block's seven layers
  expect(Object.values(sizes).reduce((a, b) => a + b)).toBe(2 * 3 * channels + 5 * 24);
  expect(JSON.parse(model.adapter!.config)).toMatchObject({ task_type: "CAUSAL_LM", clr_kernel: null });
  plain.free();
  model.free();
});

test("the weights of the base are as they were, whatever an adapter learns", async () => {
  const model = await fresh({});
  const before = await logitsOf(gpu, model, BATCH);
  await shake(model);
  expect(await logitsOf(gpu, model, BATCH)).not.toEqual(before);
  const again = await fresh({});
  expect(await logitsOf(gpu, again, BATCH)).toEqual(before);
  model.free();
  again.free();
});

test("token by token it writes what whole texts say, prompts of several lengths and a second question included", async () => {
  const model = await fresh({});
  await shake(model);
  expect(model.sizes.recurrent).toBe(true);
  const generator = new Generator(model);
  const prompts = [[1, 5, 7, 2], [9], [9, 3, 30]];
  const wanted: number[][] = [];
  for (const prompt of prompts) {
    const ids = [...prompt];
    for (let i = 0; i < 4; i++) {
      const logits = await logitsOf(gpu, model, batchOf([ids]));
      const last = logits.subarray(logits.length - 50);
      ids.push(last.indexOf(Math.max(...last)));
    }
    wanted.push(ids.slice(prompt.length));
  }
  const asked = { ...GREEDY, maxTokens: 4, stop: [], batch: 3 };
  expect((await generator.complete(prompts, asked)).map((ids) => [...ids])).toEqual(wanted);
  expect((await generator.complete(prompts.slice(2), asked)).map((ids) => [...ids])).toEqual(wanted.slice(2));
  generator.free();
  model.free();
});

test("others than causal language models have a factor a channel, and no kernel over tokens", async () => {
  for (const json of [TINY_EXAMPLES.mlp!, TINY_EXAMPLES.vit!, Object.values(TINY_ENCODERS)[0]!]) {
    const made = (clr_kernel?: number) =>
      Model.fresh(gpu, json, "classifier", {
        seed: 1,
        adapter: { type: bindDefaults(method, { clr_kernel }), seed: 1 },
      });
    const model = await made();
    const kernels = model.trainable().filter(({ name }) => name.endsWith("clr_w"));
    expect(kernels.length).toBeGreaterThan(0);
    for (const { shape } of kernels) expect(shape[1]).toBe(1);
    expect(model.sizes.recurrent).toBeUndefined();
    model.free();
    expect(made(2)).rejects.toThrow("a kernel of 2 tokens is for causal language models");
  }
});
