/** Adapters on disk, written by hand as PEFT writes them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readAdapter } from "../../src/checkpoint/adapter/value.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { hostMatrix } from "../../src/tensor/linear-algebra/leading-svd.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { fileOf } from "../checkpoint/sample.ts";
import { normals } from "../support/random.ts";
import { changeOf } from "./parts.ts";

export interface Stored {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const CONFIG = { peft_type: "LORA", r: 2, lora_alpha: 2, bias: "none", base_model_name_or_path: "base" };

/** Writes a folder with tensors under PEFT's names, without their prefix; `config` is added to a usual one. */
export function writeAdapter(
  folder: string,
  tensors: Readonly<Record<string, Stored>>,
  config: Readonly<Record<string, unknown>> = {},
): string {
  mkdirSync(folder, { recursive: true });
  const made = Object.entries(tensors).map(([name, { shape, values }]) => ({
    ...{ name: `base_model.model.${name}`, dtype: "F32" as const, shape: [...shape] },
    ...{ bytes: 4 * sizeOf(shape), data: encodeFloats(values, "F32") },
  }));
  writeFileSync(join(folder, "adapter_model.safetensors"), fileOf(made));
  writeFileSync(join(folder, "adapter_config.json"), JSON.stringify({ ...CONFIG, ...config }));
  return folder;
}

/** Normal A and B of modules of a shape (out, in). */
export function factors(
  modules: Readonly<Record<string, readonly [number, number]>>,
  rank: number,
  seed: number,
): Record<string, Stored> {
  return Object.fromEntries(
    Object.entries(modules).flatMap(([module, [out, into]], i) => [
      [`${module}.lora_A.weight`, { shape: [rank, into], values: normals(100 * seed + 2 * i, rank * into, 1) }],
      [`${module}.lora_B.weight`, { shape: [out, rank], values: normals(100 * seed + 2 * i + 1, out * rank, 1) }],
    ]),
  );
}

/** The change of every module of an adapter on disk, scale included, and its rank. */
export async function changesIn(ref: string): Promise<Map<string, { change: number[]; rank: number }>> {
  const checkpoint = await openPlain(ref);
  const found = new Map<string, { change: number[]; rank: number }>();
  for (const [module, { rank, scale, into, out, read }] of readAdapter(checkpoint).modules) {
    const { a, b } = await read();
    const change = changeOf({
      ...{ a: hostMatrix(rank, into, Float64Array.from(a)), b: hostMatrix(out, rank, Float64Array.from(b)), scale },
    });
    found.set(module, { change, rank });
  }
  checkpoint.close();
  return found;
}

export const configIn = (folder: string) => JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
