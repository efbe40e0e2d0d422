import { expect, test } from "bun:test";
import { foldsOf } from "../../src/compress/folds.ts";
import { targetsOf } from "../../src/compress/matrices.ts";
import { type Preparing, prepareBlock } from "../../src/compress/prepare-block.ts";
import { defineInputQuantizer } from "../../src/compress/quantizer.ts";
import { collate } from "../../src/data/batch.ts";
import { bind } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { sharedGpu } from "../support/gpu.ts";
import { logitsOf } from "../support/logits.ts";
import { normals, randomUnits } from "../support/random.ts";
import { TINY_DECODERS, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });

/** A quantizer that scales every input by a number of its own. */
function scaling() {
  const groups: string[][] = [];
  const method = defineInputQuantizer({
    ...{ name: "scaling", title: "Scaling", about: "scale all inputs", cite: "common practice", options: {} },
    async prepare({ layers, scale }) {
      groups.push(layers.map(({ layer }) => layer.name));
      const unit = randomUnits(groups.length);
      await scale(Float32Array.from({ length: layers[0]!.layer.columns }, () => 0.25 + 4 * unit()));
    },
    quantize: () => Promise.reject(new Error("not called")),
  });
  return { groups, by: bind(method, {}) };
}

/** Folds every block of a model with scales of its own. Gives the names of the layers that were scaled together. */
async function foldAll(model: Model): Promise<string[][]> {
  const { groups, by } = scaling();
  const targets = targetsOf(model, {});
  const now = new Map<string, Float32Array>();
  const work: Preparing = {
    ...{ model, by, seed: 0, signal: new AbortController().signal },
    scheme: () => ({ bits: 4, group: 8, symmetric: false, scales: "f32", keepZeros: false }),
    inputs({ columns }) {
      const identity = Float32Array.from({ length: columns ** 2 }, (_, i) => Number(i % (columns + 1) === 0));
      return Promise.resolve({
        columns,
        gram: gpu.upload(identity, "gram"),
        magnitudes: new Float32Array(columns).fill(1),
      });
    },
    async read({ name, parameter, start, shape }) {
      const count = shape.reduce((all, size) => all * size, 1);
      return now.get(name) ?? (await gpu.readFloats(parameter.buffer, count, 4 * start));
    },
    change({ name, parameter, start }, values) {
      now.set(name, values);
      gpu.write(parameter.buffer, 4 * start, new Uint8Array(values.slice().buffer));
    },
  };
  for (let block = 0; block < model.sizes.layers; block++)
    await prepareBlock(
      work,
      foldsOf(model.dense!, block),
      targets.filter((target) => target.block === block),
    );
  return groups;
}

/** One of every way in which decoders differ here: biases, norms and what they are, matrices of several parts. */
const DIFFERENT = [
  ...["llama with llama3 scaling and biases", "qwen3", "gemma2", "phi3", "olmo2", "cohere2", "seed_oss"],
  "norm-decoder, norms before and after",
];
const DENSE = Object.entries({ ...TINY_TEXT, ...TINY_DECODERS }).filter(([name]) => DIFFERENT.includes(name));

test("knows the architectures by name", () => expect(DENSE.map(([name]) => name).sort()).toEqual(DIFFERENT.sort()));

test.each(DENSE)("%s computes the same with scaled inputs", async (_, json) => {
  const model = await Model.fresh(gpu, json, "m", { seed: 1, freeze: () => true });
  try {
    // Gains that differ, as those of a trained model do.
    for (const { name, size, buffer } of model.parameters.values())
      if (/norm.*weight$/.test(name)) gpu.write(buffer, 0, new Uint8Array(normals(3, size, 0.2, 1).buffer));
    const before = await logitsOf(gpu, model, BATCH);
    const groups = await foldAll(model);
    expect(groups.length).toBeGreaterThanOrEqual(model.sizes.layers);
    const after = await logitsOf(gpu, model, BATCH);
    const most = Math.max(...before.map(Math.abs));
    expect(Math.max(...before.map((x, i) => Math.abs(x - after[i]!)))).toBeLessThan(2e-4 * most);
  } finally {
    model.free();
  }
});
