/**
 * LiNeS: the share of the update that a tensor keeps, in proportion to its depth. Wang et al., ICLR 2025,
 * https://arxiv.org/abs/2410.17146: alpha + beta l / (L - 1), and alpha outside the blocks.
 *
 *   scaleByDepth(0.5, 0.2, 0.8); // 0.6
 *
 * `depth` is the place of the tensor's block, 0 first and 1 last, undefined outside the blocks.
 */
export const scaleByDepth = (depth: number | undefined, alpha: number, beta: number): number =>
  depth === undefined ? alpha : alpha + beta * depth;
