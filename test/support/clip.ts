/** Tiny CLIP towers, heads of texts, and images whose classes are told by colour. */
import { writeFileSync } from "node:fs";
import type { TensorInfo } from "../../src/checkpoint/checkpoint.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { sharedGpu } from "./gpu.ts";
import { normals } from "./random.ts";

export interface Values {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** Writes f32 tensors and files to a folder (with a slash behind) or a file. */
export async function writeTensors(
  target: string,
  tensors: ReadonlyMap<string, Values>,
  files: Readonly<Record<string, Uint8Array | string>> = {},
): Promise<void> {
  const infos = [...tensors].map(([name, { shape, values }]): TensorInfo => {
    return { name, dtype: "F32", shape, bytes: 4 * values.length };
  });
  const encoder = new TextEncoder();
  const named = Object.entries(files).map(([name, data]): [string, Uint8Array] => {
    return [name, typeof data === "string" ? encoder.encode(data) : data];
  });
  const writer = await createWriter(target, { tensors: infos, files: new Map(named), lineage: [] });
  for (const [name, { values }] of tensors) await writer.write(name, encodeFloats(Float32Array.from(values), "F32"));
  await writer.finish();
}

/** Tensors of a new tower of this config, with norms and biases off their ones and zeros; without its random head. */
export async function towerOf(json: Json, seed: number): Promise<Map<string, Values>> {
  const gpu = await sharedGpu();
  const model = await Model.fresh(gpu, json, "tower", { seed });
  const tensors = new Map<string, Values>();
  for (const [i, { name, shape, parameter }] of model.stored.entries()) {
    if (name === "zeroshot_head.weight") continue;
    const gain = name.endsWith("bias") ? 0 : 1;
    const values = shape.length === 1 ? normals(i, parameter.size, 0.3, gain) : undefined;
    tensors.set(name, { shape, values: values ?? (await gpu.readFloats(parameter.buffer, parameter.size)) });
  }
  model.free();
  return tensors;
}

/** Features of texts, rows of any length. */
export const textsOf = (classes: number, shared: number, seed: number): Values => ({
  shape: [classes, shared],
  values: normals(seed, classes * shared, 3),
});

/** Rows of images (6, 6, 2), bright in one quarter by class. */
export function writeImages(file: string, count: number, classes: number): void {
  const rows = Array.from({ length: count }, (_, n) => {
    const label = n % classes;
    const noise = normals(1000 + n, 72, 0.1);
    const bright = (i: number, j: number) => (2 * Math.floor(i / 3) + Math.floor(j / 3) === label ? 1 : 0);
    const image = Array.from({ length: 6 }, (_, i) =>
      Array.from({ length: 6 }, (_, j) => [0, 1].map((c) => bright(i, j) + noise[12 * i + 2 * j + c]!)),
    );
    return JSON.stringify({ image, label });
  });
  writeFileSync(file, `${rows.join("\n")}\n`);
}
