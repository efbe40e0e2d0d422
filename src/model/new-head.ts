/** A head for a pretrained encoder: its file has none, and what is trained of it begins with one that is drawn. */
import { heldEntry } from "../checkpoint/adapter/entries.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype, isFloat } from "../checkpoint/dtype.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { ParameterSpec } from "./architecture.ts";
import { drawn } from "./fresh.ts";

/** What a head is drawn from. */
export interface HeadDrawing {
  readonly seed: number;
  readonly warn: (message: string) => void;
}

/**
 * The checkpoint with weights for its head where it has none of them, in the dtype of its matrices; a head of which
 * something is there stays as it is.
 */
export function withNewHead(
  checkpoint: Checkpoint,
  specs: readonly ParameterSpec[],
  { seed, warn }: HeadDrawing,
): Checkpoint {
  const { ref, tensors } = checkpoint;
  const head = specs.filter(({ whole }) => whole);
  if (head.length === 0 || head.some(({ name }) => tensors.has(name))) return checkpoint;
  const dtype = [...tensors.values()].find(({ shape, dtype }) => shape.length === 2 && isFloat(dtype))?.dtype ?? "F32";
  warn(`${ref} has no ${head[0]!.name}: its head is new, drawn by --seed ${seed}`);
  const entries = head.map((spec) => drawnEntry(spec, dtype, seed));
  return { ...checkpoint, tensors: new Map([...tensors, ...entries.map((entry) => [entry.name, entry] as const)]) };
}

function drawnEntry(spec: ParameterSpec, dtype: Dtype, seed: number): TensorEntry {
  const { name, shape } = spec;
  const count = sizeOf(shape);
  const info = { name, dtype, shape, bytes: count * DTYPE_BYTES[dtype], read: async () => {} };
  return heldEntry(info, encodeFloats(drawn(spec, name, count, seed), dtype));
}
