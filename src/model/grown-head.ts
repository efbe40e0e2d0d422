/** A classifier's head with rows for more classes: those that are there stay, the new ones are drawn. */
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES, isFloat } from "../checkpoint/dtype.ts";
import { UserError } from "../errors.ts";
import { decodeText, type JsonObject, parseJson } from "../json.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { configOf, describeConfig } from "./description.ts";
import { drawn } from "./fresh.ts";

/**
 * The checkpoint as one of `classes` classes. New rows of the head are drawn by (seed, name) as a new model's are; the
 * config names further classes `LABEL_5` where it names classes. Throws UserError for a head that is quantized.
 */
export async function withMoreClasses(checkpoint: Checkpoint, classes: number, seed: number): Promise<Checkpoint> {
  const { ref, tensors, files } = checkpoint;
  const json = configOf(checkpoint);
  const before = await describeConfig(json, ref, undefined, checkpoint);
  const grownJson = grownConfig(json, before.sizes.outputs, classes);
  const after = await describeConfig(grownJson, ref, undefined, checkpoint);
  const specs = new Map(before.architecture.parameters(before.config).map((spec) => [spec.name, spec]));
  const grown = new Map(tensors);
  for (const spec of after.architecture.parameters(after.config)) {
    const old = specs.get(spec.name);
    if (!old || old.shape.join() === spec.shape.join()) continue;
    const entry = tensors.get(spec.name);
    if (!entry || entry.patch || !isFloat(entry.dtype))
      throw new UserError(
        `${ref}: the head ${spec.name} cannot take more rows as it is stored`,
        "store it as f32 first",
      );
    const values = drawn(spec, spec.name, sizeOf(spec.shape), seed);
    grown.set(spec.name, withRows(entry, spec.shape, encodeFloats(values, entry.dtype)));
  }
  const text = `${JSON.stringify(grownConfig(givenConfig(checkpoint), before.sizes.outputs, classes), null, 2)}\n`;
  return { ...checkpoint, tensors: grown, files: new Map([...files, ["config.json", new TextEncoder().encode(text)]]) };
}

/** config.json as it is in the files. */
function givenConfig({ files, ref }: Checkpoint): JsonObject {
  const what = `config.json of ${ref}`;
  return parseJson(decodeText(files.get("config.json")!, what), what).value as JsonObject;
}

function grownConfig<J extends Readonly<Record<string, unknown>>>(json: J, before: number, classes: number): J {
  const names = json.id2label as Record<string, string> | null | undefined;
  if (!names) return { ...json, num_labels: classes };
  const more = Array.from({ length: classes - before }, (_, i) => [`${before + i}`, `LABEL_${before + i}`] as const);
  const id2label = { ...names, ...Object.fromEntries(more) };
  const label2id = Object.fromEntries(Object.entries(id2label).map(([id, name]) => [name, Number(id)]));
  return { ...json, ...("num_labels" in json ? { num_labels: classes } : {}), id2label, label2id };
}

/** The first rows of an entry, and after them those of `bytes`, which are all rows of the new shape. */
function withRows(entry: TensorEntry, shape: readonly number[], bytes: Uint8Array): TensorEntry {
  const size = sizeOf(shape) * DTYPE_BYTES[entry.dtype];
  return {
    name: entry.name,
    dtype: entry.dtype,
    shape: [...shape],
    bytes: size,
    async read(into, offset) {
      into.set(bytes.subarray(offset, offset + into.byteLength));
      const old = Math.min(into.byteLength, Math.max(0, entry.bytes - offset));
      if (old > 0) await entry.read(into.subarray(0, old), offset);
    },
  };
}
