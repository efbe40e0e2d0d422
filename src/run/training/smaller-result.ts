/** The result of a training that is a smaller model than the one that was trained. */
import { heldEntry } from "../../checkpoint/adapter/entries.ts";
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { encodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { Model } from "../../model/model.ts";
import { nameModels } from "../../model/names.ts";
import type { Slice } from "../../model/structure/slice.ts";
import { slicedCheckpoint } from "../../model/structure/sliced-checkpoint.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** A model to write in the place of the trained one, and the files that go with it. */
export interface SmallerResult {
  readonly model: Model;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The weights of a model as they are, as a checkpoint in host memory, in the types in which they are stored. */
async function heldCheckpoint(model: Model, ref: string, files: ReadonlyMap<string, Uint8Array>): Promise<Checkpoint> {
  const tensors = new Map<string, TensorEntry>();
  for (const { name, parameter, start, shape, dtype } of model.stored) {
    const count = sizeOf(shape);
    const values = await model.gpu.readFloats(parameter.buffer, count, 4 * start);
    const own = parameter.size === count ? parameter.name : name;
    const info = { name: own, dtype, shape, bytes: count * DTYPE_BYTES[dtype], read: async () => {} };
    tensors.set(own, heldEntry(info, encodeFloats(values, dtype)));
  }
  return { ref, kind: "folder", tensors, files, lineage: [], headerSha256: "", close: () => {} };
}

/** What a slice leaves of a model whose weights are held in f32. Throws UserError for a shape that cannot be held. */
export async function loadSmaller(
  model: Model,
  slice: Slice,
  { ref, files }: { readonly ref: string; readonly files: ReadonlyMap<string, Uint8Array> },
): Promise<SmallerResult> {
  const text = new TextEncoder().encode(`${JSON.stringify(model.json, null, 2)}\n`);
  const held = await heldCheckpoint(model, ref, new Map([...files, ["config.json", text]]));
  const [named] = nameModels(new Map([[ref, held]]), ref, []).values();
  if (!named) throw new RangeError(`${ref} is not named`);
  const checkpoint = await slicedCheckpoint(named, slice);
  return {
    model: await Model.load(model.gpu, checkpoint, { dtype: "f32", freeze: () => true }),
    files: checkpoint.files,
  };
}
