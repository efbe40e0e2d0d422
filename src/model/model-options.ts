/** How a model is brought onto the GPU. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { PageStoreOptions } from "../tensor/paging/page-kind.ts";
import type { AdapterChoice } from "./adapters/contract.ts";
import type { LoraOptions } from "./adapters/lora/lora.ts";
import type { Embedding } from "./embedder.ts";
import type { LoadIn } from "./held-codes.ts";

export interface ModelOptions {
  /**
   * How matrices are held on the GPU. keep: bf16 as bf16, everything else as f32. When left out: f32 if trained, else
   * keep.
   */
  readonly dtype?: "f32" | "bf16" | "keep";
  /** Frozen matrices of layers stay codes; those that no file holds so are rounded, but for "stored". */
  readonly loadIn?: LoadIn | undefined;
  /** Weights that are not trained, by checkpoint name; all of them under an adapter. */
  readonly freeze?: (name: string) => boolean;
  readonly adapter?: AdapterChoice | undefined;
  /** Short for an `adapter` of the type LoRA. */
  readonly lora?: LoraOptions;
  /**
   * Results are stored with the dtypes of this checkpoint's tensors; with those of the one that is loaded when left
   * out.
   */
  readonly like?: Checkpoint;
  /** Weights of layers stay on the disk, and come into memory as a program needs them; nothing can be trained. */
  readonly offload?: boolean | undefined;
  /** Experts lie in the file or on the host, so many of them on the device; they can be trained. */
  readonly experts?: PageStoreOptions | undefined;
  /** Read as an embedder. */
  readonly embeds?: Embedding | undefined;
  readonly warn?: (message: string) => void;
}
