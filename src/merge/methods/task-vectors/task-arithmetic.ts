/**
 * Task arithmetic: the base plus a weighted sum of task vectors.
 *
 * Ilharco et al., ICLR 2023, https://arxiv.org/abs/2212.04089.
 */
import { mergeMethod } from "../../contract.ts";
import { dense, mergeTaskVectors, normalizeOption, taskVectorOptions } from "../../updates/task-vectors.ts";

export const method = mergeMethod({
  name: "task_arithmetic",
  title: "Task arithmetic",
  about: "the base plus a weighted sum of task vectors",
  cite: "arXiv:2212.04089",
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "one",
  options: { ...taskVectorOptions, normalize: normalizeOption(false) },

  /** base + lambda sum_i w_i (x_i - base). One pass. */
  merge: mergeTaskVectors(dense, false),
});
