/**
 * A checkpoint whose weights are rounded as it is read, to ask what a coarser copy of the model would say: low
 * precision can bring back what unlearning hid. Zhang et al. 2024, https://arxiv.org/abs/2410.16454
 *
 * Values are rounded to nearest, halves away from 0, with one scale per row: the largest magnitude of the row is
 * 2^(bits - 1) - 1 steps. Rows are those of the stored matrix: inputs in GPT-2, outputs in all other models. Vectors,
 * embeddings and output heads stay as they are. The result is stored in the dtype of the tensor.
 */
import { mergeOnCpu } from "../../checkpoint/adapter/adapter.ts";
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { encodeFloats } from "../../checkpoint/decode.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import type { NumberFormat } from "../../checkpoint/numbers/number-format.ts";
import { roundRows as rowsInFormat } from "../../checkpoint/numbers/quantize-rows.ts";

/** Rounds rows of `width` values in place. */
export function roundRows(values: Float32Array, width: number, bits: number): void {
  const steps = 2 ** (bits - 1) - 1;
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    let most = 0;
    for (const x of row) most = Math.max(most, Math.abs(x));
    if (most === 0 || !Number.isFinite(most)) continue;
    for (const [i, x] of row.entries()) {
      row[i] = (Math.sign(x) * Math.floor((Math.abs(x) / most) * steps + 0.5) * most) / steps;
    }
  }
}

const KEPT = /embed|(?:^|\.)(?:wte|wpe|lm_head|score|classifier)\./;

/** Matrices of layers: what quantizers round. */
export const isRounded = ({ name, shape, dtype }: TensorEntry): boolean =>
  shape.length >= 2 && isFloat(dtype) && !KEPT.test(name);

/** Bits, symmetric with one scale per row, or a number format. */
export type Rounding = number | NumberFormat;

function rounded(entry: TensorEntry, to: Rounding): TensorEntry {
  const { patch: _, codes: __, ...plain } = entry;
  /** The tensor while it is read, from the first piece to the last: a stream gives it only once. */
  let held: Promise<Uint8Array> | undefined;
  const load = async () => {
    const values = await mergeOnCpu(entry);
    const width = entry.shape.at(-1)!;
    if (typeof to === "number") {
      roundRows(values, width, to);
      return encodeFloats(values, entry.dtype);
    }
    return encodeFloats(rowsInFormat(values, values.length / width, width, to), entry.dtype);
  };
  return {
    ...plain,
    async read(into, offset) {
      held ??= load();
      into.set((await held).subarray(offset, offset + into.length));
      if (offset + into.length >= entry.bytes) held = undefined;
    },
  };
}

/**
 * The checkpoint with its matrices rounded to so many bits, or to a format, as they are read. Memory: one tensor at a
 * time.
 *
 *   const model = await Model.load(gpu, quantized(checkpoint, 4), options);
 */
export function quantized(checkpoint: Checkpoint, to: Rounding): Checkpoint {
  const tensors = [...checkpoint.tensors].map(
    ([name, entry]) => [name, isRounded(entry) ? rounded(entry, to) : entry] as const,
  );
  return { ...checkpoint, tensors: new Map(tensors) };
}
