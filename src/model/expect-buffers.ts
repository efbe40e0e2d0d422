/** Refuses weights that no buffer of the adapter holds, before any of them is read. */
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Packing } from "../tensor/packed.ts";
import { bytesOf, showShape, sizeOf } from "../tensor/tensor.ts";
import { humanBytes } from "../text/format.ts";

/** A weight as it will be held. */
interface Held {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "f32" | "bf16" | Packing;
  readonly trainable: boolean;
  /** Experts whose matrices it holds. */
  readonly parts: number;
}

/**
 * Throws UserError for a weight, or the f32 gradient of one that is trained, that is larger than the adapter's largest
 * buffer; `paged`: experts lie in buffers of their own. What is larger than one binding is bound in parts
 * (tensor/stretches.ts).
 */
export function expectBuffers(gpu: Gpu, weights: readonly Held[], paged = false): void {
  const most = gpu.adapter.limits.maxBufferSize ?? Number.POSITIVE_INFINITY;
  const other = "or take another adapter with --device; doctor lists them";
  for (const { name, shape, dtype, trainable, parts } of weights) {
    const size = sizeOf(shape) / (paged ? parts : 1);
    const isPlain = typeof dtype === "string";
    const own = isPlain ? bytesOf(size, dtype) : (4 * dtype.pitch * size) / dtype.columns;
    const what = `${name} ${showShape(shape)}`;
    const limit = `the largest buffer of this adapter is ${humanBytes(most)}`;
    if (own > most)
      throw new UserError(
        `${what} takes ${humanBytes(own)} in ${isPlain ? dtype : "codes"}, and ${limit}`,
        dtype === "f32" && own <= 2 * most ? `hold it in half of that: --dtype bf16, ${other}` : other.slice(3),
      );
    if (trainable && 4 * size > most)
      throw new UserError(
        `the gradient of ${what} takes ${humanBytes(4 * size)}, and ${limit}`,
        `train an adapter (--lora) or leave it as it is (--freeze), ${other}`,
      );
  }
}
