/** Tiny models in folders, for tests of mixtures of experts. */
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { logitsOf } from "../../golden/formats/train.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();

/** Sizes of every model here; the vocabulary is that of bytes. */
export const SIZES = {
  ...{ hidden_size: 20, intermediate_size: 12, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 },
  ...{ vocab_size: 259, max_position_embeddings: 48, rms_norm_eps: 1e-5, initializer_range: 0.3 },
};

export const json = (type: string, more: Json = {}): Json => ({ ...SIZES, model_type: type, ...more });

/** Draws a model into a folder, with a tokenizer of bytes; norms and biases are off ones and zeros. */
export async function writeTiny(folder: string, name: string, config: Json, seed: number): Promise<string> {
  const model = await Model.fresh(gpu, config, name, { seed });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1)
      parameter.write(normals(100 * seed + i, parameter.size, 0.3, parameter.name.endsWith("bias") ? 0 : 1));
  const files = new Map([
    ...byteTokenizer().files,
    ["config.json", new TextEncoder().encode(JSON.stringify(config))] as const,
  ]);
  const path = join(folder, name);
  await saveModel(model, `${path}/`, { files, lineage: [] });
  model.free();
  return path;
}

/** Lends the model of a folder, and frees it. */
export async function withLoaded<T>(path: string, use: (model: Model) => Promise<T>): Promise<T> {
  const checkpoint = await open(path);
  const model = await Model.load(gpu, checkpoint, { freeze: () => true });
  try {
    return await use(model);
  } finally {
    model.free();
    checkpoint.close();
  }
}

const ROWS = [
  [72, 101, 108, 108, 111, 32, 49, 50, 51],
  [0, 258, 7, 9, 9, 100, 31],
];

/** Logits of a checkpoint on two short rows. */
export async function tinyLogits(ref: string): Promise<Float32Array> {
  const checkpoint = await open(ref);
  const model = await Model.load(gpu, checkpoint, { freeze: () => true });
  const bins = ROWS.map((row) => {
    const ids = Int32Array.from(row);
    return [{ ids, labels: ids, group: 0, place: "" }];
  });
  const logits = await logitsOf(gpu, model, collate(bins, { buckets: "none" }));
  model.free();
  checkpoint.close();
  return Float32Array.from(logits);
}

/** Bytes of a checkpoint's tensors by name. */
export async function tinyTensors(
  ref: string,
): Promise<Map<string, { dtype: string; shape: string; bytes: Uint8Array }>> {
  const checkpoint = await open(ref);
  const found = new Map<string, { dtype: string; shape: string; bytes: Uint8Array }>();
  for (const [name, entry] of checkpoint.tensors) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(name, { dtype: entry.dtype, shape: entry.shape.join(), bytes });
  }
  checkpoint.close();
  return found;
}

/** The largest difference, by the largest magnitude. */
export function relativeError(found: Float32Array, wanted: Float32Array): number {
  const most = wanted.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
  return wanted.reduce((a, x, i) => Math.max(a, Math.abs(x - found[i]!)), 0) / most;
}
