/** Small checkpoints and adapters held in memory, for the adapter tests. */
import { createHash } from "node:crypto";
import type { Checkpoint, TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";

export interface Given {
  shape: number[];
  values?: ArrayLike<number>;
  dtype?: Dtype;
}

/** Values that differ from each other and depend on the seed only. */
export function noise(count: number, seed: number): Float32Array {
  let state = seed * 2654435761 + 12345;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Tensors without values get noise of their own. */
export function held(
  ref: string,
  tensors: Record<string, Given>,
  files: Record<string, unknown> = {},
  kind: Checkpoint["kind"] = "folder",
): Checkpoint {
  const entries = Object.entries(tensors).map(([name, { shape, values, dtype = "F32" }], at): [string, TensorEntry] => {
    const count = shape.reduce((all, size) => all * size, 1);
    const bytes = encodeFloats(values === undefined ? noise(count, at + 1) : Float32Array.from(values), dtype);
    const read: TensorEntry["read"] = async (into, offset) => into.set(bytes.subarray(offset, offset + into.length));
    return [name, { name, dtype, shape, bytes: bytes.length, read }];
  });
  return {
    ref,
    kind,
    tensors: new Map(entries),
    files: new Map(
      Object.entries(files).map(([name, value]) => [
        name,
        new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value)),
      ]),
    ),
    lineage: [],
    headerSha256: createHash("sha256").update(ref).digest("hex"),
    close() {},
  };
}

/** An adapter of rank 2, alpha 6 (scale 3) unless `config` says otherwise. */
export const lora = (
  tensors: Record<string, Given>,
  config: Record<string, unknown> = {},
  ref = "adapter",
): Checkpoint => held(ref, tensors, { "adapter_config.json": { peft_type: "LORA", r: 2, lora_alpha: 6, ...config } });

/** A two-layer language model that exercises every kind of tensor an adapter can touch. */
export const base = (config: Record<string, unknown> = {}, extra: Record<string, Given> = {}): Checkpoint =>
  held(
    "base",
    {
      "model.embed_tokens.weight": { shape: [6, 4] },
      "model.layers.0.self_attn.q_proj.weight": { shape: [3, 4] },
      "model.layers.0.self_attn.q_proj.bias": { shape: [3] },
      "model.layers.1.self_attn.q_proj.weight": { shape: [3, 4] },
      "model.layers.1.self_attn.q_proj.bias": { shape: [3] },
      "model.norm.weight": { shape: [4] },
      ...extra,
    },
    { "config.json": { model_type: "llama", vocab_size: 6, ...config } },
  );

/** (rows, inner) times (inner, columns) in f64. */
export function product(left: ArrayLike<number>, right: ArrayLike<number>, inner: number): number[] {
  const rows = left.length / inner;
  const columns = right.length / inner;
  return Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += left[row * inner + k]! * right[k * columns + column]!;
    return sum;
  });
}

export function transpose(values: ArrayLike<number>, columns: number): number[] {
  const rows = values.length / columns;
  return Array.from({ length: values.length }, (_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!);
}
