/** Kernels run by themselves: tensors stacked as jobs stack them, and one call that runs and reads back. */

import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../src/checkpoint/dtype.ts";
import type { PooledBuffer } from "../../src/gpu/buffer.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { SPAN, spanGroups } from "../../src/gpu/grid.ts";
import type { ParamValues } from "../../src/gpu/kernel.ts";
import { type OperandDtype, paddedBytes } from "../../src/tensor/load.ts";

export interface Stack extends Disposable {
  readonly buffer: GPUBuffer;
  /** Vectors of four from one tensor to the next, and in each. */
  readonly pitch: number;
  readonly n4: number;
}

/** Tensors of equal length in one buffer, each padded with zeros to its slot. */
export function stackOf(gpu: Gpu, dtype: OperandDtype, tensors: readonly Float32Array[]): Stack {
  const length = tensors[0]!.length;
  const slot = paddedBytes(length, dtype);
  const host = new Uint8Array(slot * tensors.length);
  for (const [index, tensor] of tensors.entries()) host.set(encodeFloats(tensor, dtype), index * slot);
  const held = gpu.upload(host, "test stack");
  return {
    buffer: held.buffer,
    pitch: slot / (4 * DTYPE_BYTES[dtype]),
    n4: Math.ceil(length / 4),
    [Symbol.dispose]: () => held.free(),
  };
}

/** Reads `length` values of a storage type as f32. */
export const readAs = (gpu: Gpu, buffer: GPUBuffer, dtype: OperandDtype, length: number): Promise<Float32Array> =>
  gpu.read(buffer, 0, length * DTYPE_BYTES[dtype], (view) => decodeFloats(view.slice(), dtype));

/** Runs a kernel over `n4` vectors of four into an output of `bytes`, whose bits are all set before. */
export async function runSpans(
  gpu: Gpu,
  path: string,
  flags: readonly string[],
  n4: number,
  dispatch: {
    bind: Record<string, GPUBuffer>;
    params: ParamValues;
    constants?: Record<string, number>;
    output: string;
    bytes: number;
    /** Vectors per workgroup. */
    span?: number;
  },
): Promise<PooledBuffer> {
  const output = gpu.upload(new Uint8Array(Math.ceil(dispatch.bytes / 256) * 256).fill(0xff), "test output");
  gpu.run(await gpu.kernel(path, { flags, constants: dispatch.constants ?? {} }), {
    bind: { ...dispatch.bind, [dispatch.output]: output.buffer },
    params: dispatch.params,
    groups: spanGroups(n4, dispatch.span ?? SPAN),
  });
  return output;
}
