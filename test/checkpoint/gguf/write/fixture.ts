/** Checkpoints with the names and shapes of real models, and their way through a GGUF file. */
import type { Checkpoint, LineageEntry, TensorInfo } from "../../../../src/checkpoint/checkpoint.ts";
import { encodeFloats } from "../../../../src/checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../../../../src/checkpoint/dtype.ts";
import { createWriter } from "../../../../src/checkpoint/write/write.ts";
import type { WriteOptions } from "../../../../src/checkpoint/write/writer.ts";
import { loadMethod } from "../../../../src/method/registry.ts";
import type { Json } from "../../../../src/model/architecture.ts";
import { noise } from "../../adapter/fixture.ts";

export interface Sample {
  readonly tensors: (TensorInfo & { readonly data: Uint8Array })[];
  readonly files: Map<string, Uint8Array>;
}

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** A model of a config with random weights; norms of F32, all else of `dtype`. */
export async function sampleOf(config: Json, dtype: Dtype = "BF16"): Promise<Sample> {
  const architecture = await loadMethod("architecture", String(config.model_type));
  const parameters = architecture.parameters(architecture.config(config, "config.json"));
  const each = parameters.flatMap(({ name, shape, parts }) =>
    parts ? parts.map((part) => ({ name: part, shape: shape.slice(1) })) : [{ name, shape }],
  );
  const tensors = each.map(({ name, shape }, i) => {
    const count = shape.reduce((all, side) => all * side, 1);
    const as = shape.length === 1 ? "F32" : dtype;
    const data = encodeFloats(noise(count, i + 1), as);
    return { name, dtype: as, shape, bytes: count * DTYPE_BYTES[as], data };
  });
  return { tensors, files: new Map([["config.json", json(config)]]) };
}

/** Writes a sample, each tensor in pieces of odd lengths. Gives what was said. */
export async function write(
  { tensors, files }: Sample,
  target: string,
  options: WriteOptions = {},
  lineage: LineageEntry[] = [],
): Promise<string[]> {
  const said: string[] = [];
  const warn = (text: string) => said.push(text);
  const writer = await createWriter(target, { tensors, files, lineage }, { warn, flush: false, ...options });
  try {
    for (const { name, data } of tensors) {
      for (let at = 0; at < data.length; at += 333) await writer.write(name, data.subarray(at, at + 333));
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return said;
}

/** A JSON file of a checkpoint. */
export const jsonOf = (checkpoint: Checkpoint, name = "config.json"): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(checkpoint.files.get(name)));
