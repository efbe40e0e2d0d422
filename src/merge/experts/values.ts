/** Tensors in the making: what a result is written from, a piece at a time. */
import { patchedValues } from "../../checkpoint/adapter/adapter.ts";
import { patchRange } from "../../checkpoint/adapter/patch.ts";
import { isStackPatch, type TensorEntry, type TensorInfo } from "../../checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype, isFloat } from "../../checkpoint/dtype.ts";
import type { Writer } from "../../checkpoint/write/writer.ts";
import { Random } from "../../data/random.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { ResultWatch } from "../finite.ts";

/** The most of a tensor that is in memory at a time, in bytes as it is stored. */
export const PIECE = 4 * 2 ** 20;

/** A tensor of the result, and its bytes in order. */
export interface MadeTensor extends TensorInfo {
  pieces(): AsyncIterable<Uint8Array>;
}

/** The description of a tensor. */
export const infoOf = (name: string, dtype: Dtype, shape: readonly number[]): TensorInfo => ({
  name,
  dtype,
  shape,
  bytes: sizeOf(shape) * DTYPE_BYTES[dtype],
});

/** What becomes of a tensor's values on their way. */
export interface Change {
  /** Multiplies all values; 1 when left out. */
  readonly scale?: number;
  /** Standard deviation of what is added, and what selects its stream. */
  readonly noise?: { readonly deviation: number; readonly key: readonly (string | number)[] };
}

/** Values of a tensor with its adapter, from value `first` on. */
async function* valuesOf(entry: TensorEntry): AsyncGenerator<Float32Array> {
  if (entry.patch && !isStackPatch(entry.patch)) {
    yield await patchedValues(entry);
    return;
  }
  const width = DTYPE_BYTES[entry.dtype];
  for (let at = 0; at < entry.bytes; at += PIECE) {
    const bytes = new Uint8Array(Math.min(PIECE, entry.bytes - at));
    await entry.read(bytes, at);
    const values = decodeFloats(bytes, entry.dtype);
    if (entry.patch) patchRange(entry, values, at / width);
    yield values;
  }
}

/** All values of a tensor, in f32, with its adapter. */
export async function readValues(entry: TensorEntry): Promise<Float32Array> {
  const all = new Float32Array(sizeOf(entry.shape));
  let at = 0;
  for await (const values of valuesOf(entry)) {
    all.set(values, at);
    at += values.length;
  }
  return all;
}

async function* rawPieces(entry: TensorEntry): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < entry.bytes; at += PIECE) {
    const bytes = new Uint8Array(Math.min(PIECE, entry.bytes - at));
    await entry.read(bytes, at);
    yield bytes;
  }
}

/**
 * A tensor of a checkpoint under another name. Its bytes are the same where nothing changes it; otherwise values are
 * computed in f32, scaled first, and rounded once.
 */
export function copied(entry: TensorEntry, name: string, wanted: Dtype | undefined, change: Change = {}): MadeTensor {
  const dtype = wanted !== undefined && isFloat(entry.dtype) ? wanted : entry.dtype;
  const { scale = 1, noise } = change;
  const isSame = dtype === entry.dtype && entry.patch === undefined && scale === 1 && noise === undefined;
  if (isSame) return { ...infoOf(name, dtype, entry.shape), pieces: () => rawPieces(entry) };
  return {
    ...infoOf(name, dtype, entry.shape),
    async *pieces() {
      const random = noise && new Random(...noise.key);
      for await (const values of valuesOf(entry)) {
        if (scale !== 1) for (let i = 0; i < values.length; i++) values[i]! *= scale;
        if (noise) for (let i = 0; i < values.length; i++) values[i]! += noise.deviation * random!.normal();
        yield encodeFloats(values, dtype);
      }
    },
  };
}

/** A tensor whose values are small enough to be held; they are asked for when it is written. */
export const computed = (
  name: string,
  dtype: Dtype,
  shape: readonly number[],
  values: () => Float32Array | Promise<Float32Array>,
): MadeTensor => ({
  ...infoOf(name, dtype, shape),
  async *pieces() {
    yield encodeFloats(await values(), dtype);
  },
});

/** Writes tensors in the order of the writer; `done` hears of the bytes of each piece. Gives what to warn of. */
export async function writeMade(
  writer: Writer,
  made: readonly MadeTensor[],
  signal: AbortSignal,
  done: (bytes: number, name: string) => void,
): Promise<string[]> {
  const byName = new Map(made.map((tensor) => [tensor.name, tensor]));
  const watch = new ResultWatch();
  for (const { name } of writer.tensors)
    for await (const bytes of byName.get(name)!.pieces()) {
      signal.throwIfAborted();
      watch.look(byName.get(name)!, bytes);
      await writer.write(name, bytes);
      done(bytes.byteLength, name);
    }
  return watch.remarks();
}
