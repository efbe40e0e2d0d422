/** How the changed matrices lie in the file. */

import type { TensorInfo } from "../checkpoint/checkpoint.ts";
import { encodeFloats } from "../checkpoint/decode.ts";
import type { Dtype } from "../checkpoint/dtype.ts";
import { DTYPE_BYTES } from "../checkpoint/dtype.ts";
import type { QuantizedMatrix } from "../checkpoint/quantized/matrix.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { Target } from "./matrices.ts";
import type { Scheme } from "./quantizer.ts";

/** A tensor of the result. */
export interface Stored {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What became of a target: its values as they are stored, and the codes of each of its matrices. */
export interface Result {
  readonly values: Float32Array;
  readonly codes?: readonly QuantizedMatrix[];
}

export interface Storage {
  /** As `--format` names it. */
  readonly name: string;
  /** Type in which scales are kept. */
  readonly scales: Scheme["scales"];
  /** The tensors that a target becomes, known before any work. Throws UserError where it cannot hold it. */
  plan(target: Target): TensorInfo[];
  /** A matrix of codes as the file will give it back. */
  fitted(target: Target, matrix: QuantizedMatrix): QuantizedMatrix;
  /** In the order of `plan`. */
  encode(target: Target, result: Result): Stored[];
  /** The files beside the weights. */
  files(files: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array>;
}

/** Plain values, which every program reads. */
export function denseStorage(dtype: Dtype | undefined): Storage {
  return {
    ...{ name: "dense", scales: "f32" as const },
    fitted: (_, matrix) => matrix,
    plan({ stored: { name, shape, dtype: own } }) {
      const as = dtype ?? own;
      return [{ name, shape, dtype: as, bytes: sizeOf(shape) * DTYPE_BYTES[as] }];
    },
    encode: ({ stored: { name, dtype: own } }, { values }) => [{ name, bytes: encodeFloats(values, dtype ?? own) }],
    files: (files) => files,
  };
}
