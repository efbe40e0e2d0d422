/** What a checkpoint is in memory: names, shapes and where bytes are. Bytes are read when asked for. */
import type { Dtype } from "./dtype.ts";
import type { StoredMatrix } from "./quantized/matrix.ts";

/** A tensor as a header states it. `bytes` is the product of the shape times the width of the dtype. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/**
 * A low-rank change of a weight that is applied when the weight is loaded onto the GPU (PEFT LoRA, DoRA). Small
 * matrices, held in f32: `a` is (r, in), `b` is (out, r). `magnitude` (out) marks DoRA. `transposed`: the weight is
 * stored (in, out), as GPT-2's Conv1D and embeddings are. Result: W + scale * B A, or for DoRA diag(magnitude /
 * rownorm(V)) V with V = W + scale * B A; then rounded to the dtype of W.
 */
export interface LowRankPatch {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
  readonly scale: number;
  readonly magnitude?: Float32Array;
  readonly transposed: boolean;
  /** The weight is a stack of so many matrices: `a` is (E, r, in), `b` is (E, out, r), of each its own. */
  readonly experts?: number;
}

/** A change of a matrix (out, in) that takes whole rows and gives others: a rotation, a scale, any sum. */
export interface RowPatch {
  /** Changes rows in place, of which the first is row `first`. */
  change(rows: Float32Array, first: number): void;
  /** The weight is stored (in, out). */
  readonly transposed: boolean;
  /** Rows hang on one another, so that all of them are changed at once. */
  readonly together?: true;
}

export type Patch = LowRankPatch | RowPatch;

export const isRowPatch = (patch: Patch | undefined): patch is RowPatch => patch !== undefined && "change" in patch;

/** Whether a patch is of a stack, whose values change one by one; else the whole matrix takes part. */
export const isStackPatch = (patch: Patch): patch is LowRankPatch & { readonly experts: number } =>
  "experts" in patch && patch.experts !== undefined;

/** A tensor of an opened checkpoint. */
export interface TensorEntry extends TensorInfo {
  /** Fills `into` with the bytes of this tensor that begin at `offset`. Concurrent calls are allowed. */
  read(into: Uint8Array, offset: number): Promise<void>;
  /** Applied after reading; absent for plain tensors. Code that uses the bytes must apply it. */
  readonly patch?: Patch;
  /** The codes that `read` decodes; whoever changes what is read leaves it out. */
  readonly codes?: StoredMatrix | undefined;
}

/** What a step read. */
export interface LineageInput {
  ref: string;
  role?: string;
  revision?: string;
  bytes?: number;
  header_sha256?: string;
  /** Layouts that its tensors were decoded from, as `quantizationText` writes them. */
  quantized?: string;
}

/** Tensors of one quantised layout, which were decoded when the checkpoint was opened. */
export interface QuantizedPart {
  readonly layout: string;
  readonly bits: number;
  /** What shares a scale. */
  readonly group: string;
  /** How many tensors, and their bytes as they are stored, companions included. */
  readonly tensors: number;
  readonly bytes: number;
}

/** `GPTQ, 4 bit, groups of 128; FP8, 8 bit, one scale` */
export const quantizationText = (parts: readonly QuantizedPart[]): string =>
  parts.map(({ layout, bits, group }) => `${layout}, ${bits} bit, ${group}`).join("; ");

/** One step in a checkpoint's history, oldest first in the list. Everything here is known before the work starts. */
export interface LineageEntry {
  script: string;
  version: string;
  method?: string;
  options: Record<string, unknown>;
  seed: number;
  inputs: LineageInput[];
  run: string;
  time: string;
}

/** An opened checkpoint, whatever it came from. */
export interface Checkpoint {
  /** As the user wrote it; used in every message. */
  readonly ref: string;
  readonly kind: "folder" | "file" | "stream" | "gguf";
  /** In model order (the order of the header, or of the index and its shards). */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** config.json, tokenizer.json and so on, by file name, word for word. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly lineage: readonly LineageEntry[];
  /** SHA-256 (hex) over the headers; identifies the checkpoint in lineage without reading its weights. */
  readonly headerSha256: string;
  readonly revision?: string;
  /** What its tensors were stored as, where they are decoded while they are read. */
  readonly quantized?: readonly QuantizedPart[];
  /** An adapter on it that has no weights to fold into, for models that are loaded with it. */
  readonly live?: Checkpoint;
  /** Why its tensors could not be decoded, where it is shown as it is stored. */
  readonly undecoded?: string;
  close(): void;
}
