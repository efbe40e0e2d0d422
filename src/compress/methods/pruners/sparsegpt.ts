/**
 * SparseGPT: weights go by how much the layer's outputs lose, and those that are left make up for it.
 *
 * Frantar and Alistarh, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot, 2023,
 * https://arxiv.org/abs/2301.00774.
 *
 *   U^T U = (H + damp mean(diag H) I)^-1      score_ij = W_ij^2 / U_jj^2
 *
 * Columns go from left to right. A share is chosen among all weights of a block of columns when the block begins, a
 * pattern of N of M when the first of M columns is reached: both from weights that already make up for earlier losses.
 * Inputs that are always 0 lose their weights first. Of equal scores the first go.
 */
import { UserError } from "../../../errors.ts";
import { inverseFactor } from "../../../tensor/linear-algebra/inverse-factor.ts";
import { markLowest } from "../../../tensor/weight-selection.ts";
import { defineInputPruner } from "../../pruner.ts";
import { dropDead, scoreFactors } from "../../second-order/dead-inputs.ts";
import { MOST_BLOCK, MOST_PATTERN, sweep } from "../../second-order/sweep.ts";

export const method = defineInputPruner({
  name: "sparsegpt",
  title: "SparseGPT",
  about: "drops weights by the outputs' loss, and the others make up for it (second order)",
  cite: "arXiv:2301.00774",
  options: {
    block: {
      type: "1 <= number.integer <= 128",
      default: MOST_BLOCK,
      help: "columns whose weights are chosen together",
    },
    damp: { type: "number > 0", default: 0.01, help: "added to the second moments' diagonal, as a share of its mean" },
  },

  check(target, { block }) {
    if ("share" in target) return;
    if (target.of > MOST_PATTERN)
      throw new UserError(
        `sparsegpt: a pattern of ${target.of} inputs is longer than ${MOST_PATTERN}`,
        "take a shorter one",
      );
    if (block % target.of !== 0)
      throw new UserError(
        `sparsegpt: --block ${block} is no multiple of the pattern's ${target.of} inputs`,
        `--block ${Math.floor(MOST_BLOCK / target.of) * target.of} is`,
      );
  },

  async prune(layer, target, { block, damp }) {
    const { gpu, rows, columns, weight, signal } = layer;
    using inverse = await inverseFactor(gpu, layer.inputs.gram, { damp });
    await dropDead(layer, inverse);
    const work = { gpu, rows, columns, weight, factor: inverse.factor, block, signal };
    if (!("share" in target)) return sweep({ ...work, target });
    using factors = await scoreFactors(layer, inverse);
    using marks = gpu.buffer(4 * rows * columns, "marks");
    const { share } = target;
    const before = (from: number, to: number) =>
      markLowest(layer, factors.buffer, { of: "matrix", share, from, to }, marks.buffer);
    await sweep({ ...work, target: { marks: marks.buffer }, before });
  },
});
