/**
 * The head of a CLIP that classifies: features of the texts that name the classes, from `zeroshot_head.safetensors`
 * beside the weights. It is no part of what is trained, merged or saved among the weights, as in the codebases of
 * merging papers, which keep a head per data set and evaluate one merged tower with each.
 *
 *   weight | zeroshot_weights | text_embeds   (classes, D)  rows of any length: only their directions count
 *   logit_scale                                ()            optional: the logarithm of the factor of cosines
 *   visual_projection.weight                   (D, width)    where the checkpoint has none
 */
import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import { isFloat } from "../checkpoint/dtype.ts";
import { parseFile } from "../checkpoint/safetensors/header.ts";
import { HEAD_FILE } from "../checkpoint/safetensors/metadata.ts";
import { UserError } from "../errors.ts";
import { showShape } from "../tensor/tensor.ts";
import type { Beside, Json } from "./architecture.ts";

/** The head as the model computes with it: rows of the length exp(logit_scale). */
export const HEAD = "zeroshot_head.weight";
export const PROJECTION = "visual_projection.weight";
const SCALE = "logit_scale";
const NAMES = ["weight", "zeroshot_weights", "text_embeds"];

/** ln(1 / 0.07), with which CLIP began, and ln 100, with which all published ones end. */
export const INITIAL_SCALE = 2.6592;
const TRAINED_SCALE = Math.log(100);

/** The tensors of the file, by name. Throws UserError. */
function tensorsOf(bytes: Uint8Array, what: string): Map<string, TensorEntry> {
  const { tensors, dataStart } = parseFile(bytes, what);
  return new Map(
    tensors.map(({ name, dtype, shape, bytes: length, begin }) => [
      name,
      {
        ...{ name, dtype, shape, bytes: length },
        read: async (into, offset) => {
          const from = dataStart + begin + offset;
          into.set(bytes.subarray(from, from + into.length));
        },
      },
    ]),
  );
}

async function valuesOf(entry: TensorEntry): Promise<Float32Array> {
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  return decodeFloats(bytes, entry.dtype);
}

/** Rows of the length exp(scale) in the directions of the texts' features, made when they are read. */
function headEntry(texts: TensorEntry, scale: TensorEntry | undefined, what: string): TensorEntry {
  const [classes = 0, width = 0] = texts.shape;
  let made: Promise<Uint8Array> | undefined;
  const make = async () => {
    const [rows, [logScale = TRAINED_SCALE]] = [await valuesOf(texts), scale ? await valuesOf(scale) : []];
    const values = new Float32Array(rows.length);
    for (let row = 0; row < classes; row++) {
      const of = rows.subarray(row * width, (row + 1) * width);
      const length = Math.sqrt(of.reduce((sum, x) => sum + x * x, 0));
      if (!(length > 0 && Number.isFinite(length)))
        throw new UserError(`${what}: row ${row} of ${texts.name} has no direction`, "is the file whole?");
      values.set(
        of.map((x) => (Math.exp(logScale) * x) / length),
        row * width,
      );
    }
    return new Uint8Array(values.buffer);
  };
  return {
    ...{ name: HEAD, dtype: "F32", shape: [classes, width], bytes: 4 * classes * width },
    read: async (into, offset) => {
      made ??= make();
      into.set((await made).subarray(offset, offset + into.length));
    },
  };
}

/** Throws UserError for a tensor of another shape or of no floats. */
function expectTensor(entry: TensorEntry, wanted: readonly (number | undefined)[], what: string): void {
  const { shape, dtype, name } = entry;
  const fits =
    shape.length === wanted.length && shape.every((n, i) => n > 0 && (wanted[i] === undefined || n === wanted[i]));
  if (fits && isFloat(dtype)) return;
  const expected = wanted.map((n) => n ?? "classes").join(", ");
  throw new UserError(
    `${what}: ${name} is ${showShape(shape)} ${dtype}, expected floats of (${expected})`,
    "is it of this model, and are its rows the classes?",
  );
}

const numberAt = (json: Json | undefined, key: string): number | undefined =>
  typeof json?.[key] === "number" ? (json[key] as number) : undefined;

/** Reads the head beside a checkpoint: its classes for the config, and what the checkpoint lacks. Throws UserError. */
export const zeroShotHead: Beside = (json, { ref, files, tensors }) => {
  const own = tensors.get(HEAD);
  const bytes = files.get(HEAD_FILE);
  if (bytes && own)
    throw new UserError(`${ref} has both ${HEAD} and ${HEAD_FILE}`, "a model has one head: take one of them away");
  if (!bytes && own) return { json: { num_labels: own.shape[0], ...json }, tensors: new Map() };
  if (!bytes)
    throw new UserError(
      `${ref} has no ${HEAD_FILE}, so its classes are not known`,
      "put the features of a text per class beside its weights, a tensor `weight` (classes, D); docs/architectures.md tells how",
    );
  const what = `${ref}: ${HEAD_FILE}`;
  const found = tensorsOf(bytes, what);
  const [texts, more] = NAMES.flatMap((name) => found.get(name) ?? []);
  if (!texts || more)
    throw new UserError(
      `${what} has ${texts ? `both ${texts.name} and ${more!.name}` : `none of ${NAMES.join(", ")}`}`,
      "features of the classes' texts are one tensor",
    );
  const inner = json.vision_config as Json | undefined;
  const shared = numberAt(json, "projection_dim") ?? 512;
  expectTensor(texts, [undefined, shared], what);
  const scale = found.get(SCALE) ?? tensors.get(SCALE);
  if (scale && !(isFloat(scale.dtype) && scale.shape.every((n) => n === 1)))
    throw new UserError(`${what}: ${SCALE} is ${showShape(scale.shape)} ${scale.dtype}, expected one float`);
  const projection = tensors.has(PROJECTION) ? undefined : found.get(PROJECTION);
  if (!tensors.has(PROJECTION) && !projection)
    throw new UserError(
      `neither ${ref} nor its ${HEAD_FILE} has ${PROJECTION}`,
      "add the tensor of the CLIP that the tower was tuned from to the file",
    );
  if (projection)
    expectTensor(projection, [shared, numberAt(json, "hidden_size") ?? numberAt(inner, "hidden_size") ?? 768], what);
  const added = [headEntry(texts, scale, what), ...(projection ? [projection] : [])];
  return {
    json: { ...json, num_labels: texts.shape[0], zeroshot_projection: projection ? "head" : "tower" },
    tensors: new Map(added.map((entry) => [entry.name, entry])),
  };
};
