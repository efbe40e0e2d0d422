/** Writes an adapter: factors as they are made, then what it holds whole. */

import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { decodeFloats, encodeFloats } from "../decode.ts";
import { type Dtype, isFloat } from "../dtype.ts";
import type { OutputPlan } from "../write/shards.ts";
import { createWriter } from "../write/write.ts";
import type { WriteOptions, Writer } from "../write/writer.ts";
import { mergeOnCpu } from "./adapter.ts";
import { factorNames, type WrittenModule } from "./written.ts";

/** Factors as they lie in a file: a (rank, in), b (out, rank). */
export interface StoredFactors {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

const PIECE = 2 ** 22;

/** Values in their type of storage. Throws UserError for one that it cannot hold. */
export function stored(values: Float32Array, dtype: Dtype, name: string): Uint8Array {
  const bytes = encodeFloats(values, dtype);
  if (dtype !== "F32" && !decodeFloats(bytes, dtype).every(Number.isFinite))
    throw new UserError(
      `${show(name)} has a value that ${dtype} cannot hold`,
      "bfloat16 and float32 hold larger ones",
      1,
    );
  return bytes;
}

/** Hears of a tensor that is held whole and has values that are not finite. */
export type Odd = (name: string) => void;

/** Copies a tensor, a piece at a time; one that an adapter changes at once. */
export async function writeWhole(writer: Writer, name: string, entry: TensorEntry, odd: Odd): Promise<void> {
  const { dtype } = entry;
  let isOdd = false;
  const look = (values: Float32Array) => {
    isOdd ||= !values.every(Number.isFinite);
  };
  if (entry.patch) {
    const values = await mergeOnCpu(entry);
    look(values);
    await writer.write(name, encodeFloats(values, dtype));
  }
  for (let at = 0; at < entry.bytes && !entry.patch; at += PIECE) {
    const piece = new Uint8Array(Math.min(PIECE, entry.bytes - at));
    await entry.read(piece, at);
    if (isFloat(dtype)) look(decodeFloats(piece, dtype));
    await writer.write(name, piece);
  }
  if (isOdd) odd(name);
}

/**
 * Writes a plan; `factors` is asked for each module in order. Gives the bytes written. The target stays as it was after
 * an error.
 */
export async function writeAdapter<M extends WrittenModule>(
  target: string,
  plan: OutputPlan,
  {
    modules,
    factors,
    whole,
    dtype,
    options,
    odd,
  }: {
    readonly modules: readonly M[];
    readonly factors: (module: M) => Promise<StoredFactors>;
    readonly whole: ReadonlyMap<string, TensorEntry>;
    readonly dtype: Dtype;
    readonly options: WriteOptions;
    readonly odd: Odd;
  },
): Promise<number> {
  const writer = await createWriter(target, plan, options);
  try {
    for (const module of modules) {
      const { a, b } = await factors(module);
      const [nameA, nameB] = factorNames(module);
      await writer.write(nameA, stored(a, dtype, nameA));
      await writer.write(nameB, stored(b, dtype, nameB));
    }
    const names = plan.tensors.slice(2 * modules.length).map(({ name }) => name);
    for (const [i, entry] of [...whole.values()].entries()) await writeWhole(writer, names[i]!, entry, odd);
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return writer.bytes;
}
