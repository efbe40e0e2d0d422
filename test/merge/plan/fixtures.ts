/** Checkpoints without weights, and methods without arithmetic: what planning a merge looks at. */
import type { Checkpoint, TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../../src/checkpoint/dtype.ts";
import type { MergeMethod } from "../../../src/merge/contract.ts";
import type { Options } from "../../../src/method/options.ts";

type Shapes = Record<string, readonly number[] | readonly [Dtype, readonly number[]]>;

/** A tensor of zeros, unless `data` has its bytes. */
export function entry(name: string, dtype: Dtype, shape: readonly number[], data?: Uint8Array): TensorEntry {
  const bytes = shape.reduce((product, n) => product * n, 1) * DTYPE_BYTES[dtype];
  return {
    ...{ name, dtype, shape, bytes },
    read: async (into, offset) => {
      if (data !== undefined) into.set(data.subarray(offset, offset + into.length));
    },
  };
}

/** A checkpoint from shapes; F32 where no type is given. */
export function checkpoint(ref: string, shapes: Shapes, files: Record<string, unknown> = {}): Checkpoint {
  const tensors = new Map<string, TensorEntry>();
  for (const [name, spec] of Object.entries(shapes)) {
    const typed = typeof spec[0] === "string" ? (spec as readonly [Dtype, readonly number[]]) : undefined;
    const shape = typed?.[1] ?? (spec as readonly number[]);
    tensors.set(name, entry(name, typed?.[0] ?? "F32", shape));
  }
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  return {
    ...{ ref, kind: "folder", tensors, lineage: [], headerSha256: "" },
    files: new Map(Object.entries(files).map(([name, value]) => [name, new TextEncoder().encode(text(value))])),
    close() {},
  };
}

/** A small decoder: embedding, `layers` blocks of two tensors, last norm, head. */
export function decoder(
  ref: string,
  layers: number,
  files: Record<string, unknown> = {},
  more: Shapes = {},
): Checkpoint {
  const shapes: Shapes = { "model.embed_tokens.weight": [8, 4] };
  for (let i = 0; i < layers; i++) {
    shapes[`model.layers.${i}.mlp.up_proj.weight`] = [6, 4];
    shapes[`model.layers.${i}.norm.weight`] = [4];
  }
  Object.assign(shapes, { "model.norm.weight": [4], "lm_head.weight": [8, 4] }, more);
  const config = { model_type: "llama", num_hidden_layers: layers, vocab_size: 8, tie_word_embeddings: false };
  return checkpoint(ref, shapes, { "config.json": config, ...files });
}

export type FakeMethod = Pick<MergeMethod, "name" | "models" | "base" | "heights" | "options">;

const number = { type: "number", help: "a number" };
const weight = { ...number, per: "model", required: true } as const;
const density = { type: "0 < number <= 1", per: "model", default: 1, help: "fraction kept" } as const;
const flag = (value: boolean) => ({ type: "boolean", default: value, help: "a switch" });
const lambda = { ...number, default: 1 };
const ANY = [1, Number.POSITIVE_INFINITY] as const;

const fake = (
  name: string,
  base: FakeMethod["base"],
  heights: FakeMethod["heights"],
  options: Options,
  models: FakeMethod["models"] = ANY,
): FakeMethod => ({ name, base, heights, options, models });

const taskVector = (name: string, options: Options) =>
  fake(name, "required", "base", { weight, normalize: flag(false), lambda, ...options });

/** mergekit's methods, as far as planning sees them. */
export const METHODS: ReadonlyMap<string, FakeMethod> = new Map(
  [
    fake("linear", "input", "common", { weight, normalize: flag(true) }),
    fake("slerp", "required", "common", { t: { ...number, required: true } }, [1, 1]),
    fake(
      "nuslerp",
      "optional",
      "common",
      { weight, nuslerp_flatten: flag(true), nuslerp_row_wise: flag(false) },
      [2, 2],
    ),
    fake("multislerp", "optional", "equal", { weight, eps: { ...number, default: 1e-8 } }),
    fake("karcher", "none", "equal", {
      max_iter: { type: "number.integer >= 1", default: 10, help: "steps" },
      tol: { ...number, default: 1e-5 },
    }),
    taskVector("task_arithmetic", {}),
    taskVector("ties", { density, normalize: flag(true) }),
    taskVector("dare_linear", { density }),
    taskVector("dare_ties", { density }),
    taskVector("breadcrumbs", { density, gamma: { ...number, per: "model", default: 0.01 } }),
    taskVector("breadcrumbs_ties", { density, gamma: { ...number, per: "model", default: 0.01 } }),
    taskVector("della", { density, epsilon: { ...number, per: "model", default: 0.15 } }),
    taskVector("della_linear", { density, epsilon: { ...number, per: "model", default: 0.15 } }),
    fake("model_stock", "required", "common", { filter_wise: flag(false) }, [2, Number.POSITIVE_INFINITY]),
    fake("nearswap", "required", "equal", { t: { ...number, required: true } }, [1, 1]),
    fake("arcee_fusion", "required", "common", {}, [1, 1]),
    fake("sce", "required", "equal", { select_topk: { type: "0 <= number <= 1", default: 1, help: "share kept" } }),
    fake("ram", "required", "equal", { epsilon: { ...number, default: 1e-5 } }),
    fake("passthrough", "none", "equal", { scale: { ...number, per: "model" } }, [1, 1]),
  ].map((method) => [method.name, method]),
);
