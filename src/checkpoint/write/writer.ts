/** What writes a checkpoint, whatever form it takes. */
import type { TensorInfo } from "../checkpoint.ts";
import type { GgufOptions } from "../gguf/write/gguf-file.ts";
import type { Environment } from "../hub/cache.ts";
import type { UploadProgress } from "../hub/upload.ts";
import type { ShardOptions } from "./shards.ts";

export interface WriteOptions extends ShardOptions, GgufOptions {
  /** Writes only the index-th (from 1) of `count` shards, byte for byte as a run with `shards: count` would. */
  shard?: { index: number; count: number };
  /** With `shard`: write beside another checkpoint, which is removed; without it that is refused. */
  overwrite?: boolean;
  /** Descriptor written for `-`; 1 by default. */
  fd?: number;
  /** Flush files to the disk before they get their names; off for benchmarks, and by INGOT_NO_FSYNC=1. */
  flush?: boolean;
  /** For a result that goes to the Hub. */
  hub?: {
    warn?: (message: string) => void;
    progress?: UploadProgress | undefined;
    /** HF_TOKEN and the other variables of the Hub's client; those of the process by default. */
    env?: Environment;
  };
}

export interface Writer {
  /** What is to be written, in order: the plan's tensors, or with `shard` those of that shard. */
  readonly tensors: readonly TensorInfo[];
  /** All bytes of all files that will be written, headers included. */
  readonly bytes: number;
  /**
   * Appends bytes to a tensor. Tensors come in order, each in any number of pieces; calls may overlap and are served in
   * turn. `bytes` may be changed or freed once the promise resolves. Throws RangeError when out of order or too many,
   * ClosedPipe when the reader went away, UserError (exit 1) when the disk is full.
   */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Gives the files their names. Throws RangeError when a tensor is incomplete. */
  finish(): Promise<void>;
  /** Leaves the target as it was. */
  abort(): Promise<void>;
}
