/** LiNeS: the share of the update that a tensor keeps, in proportion to its depth. */
import { isEmbedding } from "../../model/names.ts";

/**
 * alpha + beta l / (L - 1), alpha for norms and other tensors outside the blocks, and 1 for embeddings and heads, which
 * keep all of it. Wang et al., ICLR 2025, https://arxiv.org/abs/2410.17146, and their code.
 *
 *   scaleByDepth({ name: "model.layers.1.mlp.up_proj.weight", depth: 0.5 }, 0.2, 0.8); // 0.6
 *
 * `depth` is the place of the tensor's block, 0 first and 1 last, undefined outside the blocks.
 */
export function scaleByDepth(
  { name, depth }: { readonly name: string; readonly depth?: number | undefined },
  alpha: number,
  beta: number,
): number {
  if (depth !== undefined) return alpha + beta * depth;
  return isEmbedding(name) ? 1 : alpha;
}

/**
 * The paper's alpha for a merge of `count` models: (|sum of task vectors|_1 / |merged task vector|_1) / count, both
 * norms over all tensors. A merged vector of zeros has no scale; it gives 1 / count.
 */
export const linesAlpha = (summedL1: number, mergedL1: number, count: number): number =>
  (mergedL1 > 0 ? summedL1 / mergedL1 : 1) / count;
