/**
 * Which files a checkpoint is written as: a pure function of the plan, so that a process that writes only shard i of n
 * knows every name, header and the index as well as the process that writes them all.
 */
import { createHash } from "node:crypto";
import { UserError } from "../../errors.ts";
import type { LineageEntry, TensorInfo } from "../checkpoint.ts";
import { digestOfHeaders, INDEX_DIGEST_KEY, INDEX_SUFFIX } from "../folder/folder.ts";
import type { GgufEntries } from "../gguf/write/encode-header.ts";
import { encodeHeader, PREFIX_BYTES } from "../safetensors/header.ts";
import { encodeMetadata } from "../safetensors/metadata.ts";

/** Bytes of a shard by default, as on the Hub. */
export const SHARD_BYTES = 5e9;

/** What is to be written. Nothing in it depends on the work, so that a header can go out first. */
export interface OutputPlan {
  /** In the order in which they will be written. */
  tensors: readonly TensorInfo[];
  files: ReadonlyMap<string, Uint8Array>;
  lineage: readonly LineageEntry[];
  /** Metadata of a GGUF file that is no model; its tensors, all F32, go in under their own names. */
  gguf?: GgufEntries;
}

export interface ShardOptions {
  /** Most bytes of tensors in a shard; a larger tensor gets a shard to itself. */
  shardBytes?: number;
  /** Exactly this many shards, of about equal size; overrides `shardBytes`. */
  shards?: number;
}

/** One file of weights. */
export interface WeightsFile {
  name: string;
  tensors: readonly TensorInfo[];
  header: Uint8Array;
  /** Header and tensors. */
  bytes: number;
  /**
   * For a file whose tensors are not those of the plan byte for byte: the bytes of the file that come of these, which
   * stand at `offset` in `tensor`, and where they go, counted from its beginning.
   */
  encode?(tensor: TensorInfo, offset: number, bytes: Uint8Array): Iterable<{ bytes: Uint8Array; at: number }>;
}

export interface FolderLayout {
  weights: WeightsFile[];
  /** The name that makes the weights readable, renamed last: the single file or the index. */
  entry: string;
  /** Text of the index; undefined for a single file. */
  index: string | undefined;
  /** "model", or "adapter_model" for an adapter. */
  stem: string;
}

const sum = (tensors: readonly TensorInfo[]): number => tensors.reduce((total, { bytes }) => total + bytes, 0);

/**
 * Deals tensors to shards in order; a tensor never spans two. Throws UserError when there are fewer tensors than
 * shards.
 */
export function assignShards(tensors: readonly TensorInfo[], options: ShardOptions): TensorInfo[][] {
  const { shards, shardBytes = SHARD_BYTES } = options;
  if (shards !== undefined) return assignCount(tensors, shards);
  const dealt: TensorInfo[][] = [[]];
  let room = shardBytes;
  for (const tensor of tensors) {
    if (tensor.bytes > room && dealt.at(-1)!.length > 0) {
      dealt.push([]);
      room = shardBytes;
    }
    dealt.at(-1)!.push(tensor);
    room -= tensor.bytes;
  }
  return dealt;
}

function assignCount(tensors: readonly TensorInfo[], shards: number): TensorInfo[][] {
  if (!Number.isSafeInteger(shards) || shards < 1)
    throw new UserError(`Cannot write ${shards} shards`, "give 1 or more");
  if (shards > Math.max(1, tensors.length)) {
    throw new UserError(
      `Cannot write ${shards} shards of ${tensors.length} tensors`,
      `a tensor never spans two shards: give ${Math.max(1, tensors.length)} or fewer`,
    );
  }
  let left = sum(tensors);
  let next = 0;
  return Array.from({ length: shards }, (_, i) => {
    const target = left / (shards - i);
    const last = tensors.length - (shards - i - 1); // leave one for each shard to come
    const start = next;
    let bytes = 0;
    while (next < last) {
      const more = bytes + tensors[next]!.bytes;
      // Over the target only if that misses it by less than stopping here would.
      if (next > start && i < shards - 1 && more - target > target - bytes) break;
      bytes = more;
      next++;
    }
    left -= bytes;
    return tensors.slice(start, next);
  });
}

/** One file that carries the whole model in its metadata: what a stream is, and `x.safetensors`. */
export function layoutFile(plan: OutputPlan, name: string): WeightsFile {
  return weightsFile(name, plan.tensors, encodeMetadata(plan.files, plan.lineage));
}

/** A folder: files as files, weights in one file or in shards, lineage in the metadata of each. */
export function layoutFolder(plan: OutputPlan, options: ShardOptions): FolderLayout {
  const dealt = assignShards(plan.tensors, options);
  const metadata = encodeMetadata(new Map(), plan.lineage);
  const stem = plan.files.has("adapter_config.json") && !plan.files.has("config.json") ? "adapter_model" : "model";
  const number = (n: number) => String(n).padStart(5, "0");
  const name = (i: number) => `${stem}-${number(i + 1)}-of-${number(dealt.length)}.safetensors`;
  if (dealt.length === 1) {
    const entry = `${stem}.safetensors`;
    return { weights: [weightsFile(entry, dealt[0]!, metadata)], entry, index: undefined, stem };
  }
  const weights = dealt.map((tensors, i) => weightsFile(name(i), tensors, metadata));
  return { weights, entry: stem + INDEX_SUFFIX, index: encodeIndex(weights), stem };
}

function weightsFile(name: string, tensors: readonly TensorInfo[], metadata: ReadonlyMap<string, string>): WeightsFile {
  const header = encodeHeader(tensors, metadata);
  return { name, tensors, header, bytes: header.length + sum(tensors) };
}

/**
 * The index, tied to its shards by a digest over their headers: where a crash or a second writer mixed two models, a
 * reader that compares it notices.
 */
function encodeIndex(weights: readonly WeightsFile[]): string {
  const digests = weights.map(({ header }) => createHash("sha256").update(header.subarray(PREFIX_BYTES)).digest("hex"));
  const total = weights.reduce((bytes, { tensors }) => bytes + sum(tensors), 0);
  const entries = weights.flatMap(({ name, tensors }) =>
    tensors.map((tensor) => `    ${JSON.stringify(tensor.name)}: ${JSON.stringify(name)}`),
  );
  return `{
  "metadata": {
    "total_size": ${total},
    "${INDEX_DIGEST_KEY}": "${digestOfHeaders(digests)}"
  },
  "weight_map": {
${entries.join(",\n")}
  }
}
`;
}
