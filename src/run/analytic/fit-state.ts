/**
 * The state of a head that was fitted in closed form, in the file of its model: R and W in f64, the ridge, and which
 * rows are in it.
 */
import { heldEntry } from "../../checkpoint/adapter/entries.ts";
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../checkpoint/dtype.ts";
import { DIGEST } from "../../data/row-digest.ts";
import { UserError } from "../../errors.ts";
import { FIT_STATE } from "../../model/names.ts";
import type { RidgeFit } from "../../tensor/linear-algebra/recursive-ridge.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { LearntRows } from "./learnt-rows.ts";

export interface FitState {
  readonly fit: RidgeFit;
  readonly lambda: number;
  readonly rows: LearntRows;
}

type Tensors = ReadonlyMap<string, TensorEntry>;

const nameOf = (part: string): string => `${FIT_STATE}${part}`;

/** Whether a checkpoint has such a state. */
export const hasFitState = (tensors: Tensors): boolean => tensors.has(nameOf("R"));

/** Bytes of a part. Throws UserError where it is not there, or of another type. */
async function bytesOf(
  ref: string,
  tensors: Tensors,
  part: string,
  dtype: Dtype,
): Promise<TensorEntry & { held: Uint8Array }> {
  const entry = tensors.get(nameOf(part));
  if (entry?.dtype !== dtype)
    throw new UserError(
      `${ref} has ${entry ? `${nameOf(part)} of ${entry.dtype}` : `no ${nameOf(part)}`}, expected ${dtype}`,
      "name a model whose head train analytic fitted",
    );
  const held = new Uint8Array(entry.bytes);
  await entry.read(held, 0);
  return { ...entry, held };
}

/** Reads it. Throws UserError where there is none, or it is of another model. */
export async function readFitState(ref: string, tensors: Tensors): Promise<FitState> {
  // In the order of the file, which a stream asks for.
  const r = await bytesOf(ref, tensors, "R", "F64");
  const w = await bytesOf(ref, tensors, "W", "F64");
  const lambda = await bytesOf(ref, tensors, "ridge", "F64");
  const rows = await bytesOf(ref, tensors, "rows", "U8");
  const labels = await bytesOf(ref, tensors, "labels", "I32");
  const [width = 0, outputs = 0] = w.shape;
  const count = labels.bytes / 4;
  if (r.shape.join() !== `${width},${width}` || lambda.bytes !== 8 || rows.bytes !== count * DIGEST)
    throw new UserError(`${ref}: the parts of the state of its head do not fit together`, "fit the head again");
  const fit = { width, outputs, inverse: new Float64Array(r.held.buffer), weights: new Float64Array(w.held.buffer) };
  if (![...fit.weights].every(Number.isFinite) || !fit.inverse.every(Number.isFinite))
    throw new UserError(`${ref}: the state of its head holds what is no number`, "fit the head again");
  return {
    fit,
    lambda: new Float64Array(lambda.held.buffer)[0]!,
    rows: LearntRows.from(rows.held, new Int32Array(labels.held.buffer)),
  };
}

/** As tensors. R and W are those of the time when they are read; the rows those of now. */
export function fitEntries({ fit, lambda, rows }: FitState): TensorEntry[] {
  const { width, outputs, inverse, weights } = fit;
  const { digests, labels } = rows.stored();
  const entry = (part: string, dtype: Dtype, shape: readonly number[], values: ArrayBufferView): TensorEntry => {
    const bytes = sizeOf(shape) * DTYPE_BYTES[dtype];
    const held = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return heldEntry({ name: nameOf(part), dtype, shape, bytes, read: async () => {} }, held);
  };
  return [
    entry("R", "F64", [width, width], inverse),
    entry("W", "F64", [width, outputs], weights),
    entry("ridge", "F64", [1], Float64Array.of(lambda)),
    entry("rows", "U8", [labels.length, DIGEST], digests),
    entry("labels", "I32", [labels.length], labels),
  ];
}
