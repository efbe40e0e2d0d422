/**
 * LiNeS: scales the update of each block in proportion to its depth, little in early blocks and in full in late ones.
 *
 * Wang et al., ICLR 2025, https://arxiv.org/abs/2410.17146; scale(l) = alpha + beta l / (L - 1), alpha for the last
 * norm, and 1 for embeddings and the head. With several models their task vectors are summed first. The paper
 * chooses alpha (one fine-tune) and beta (several) on validation data; without data alpha is 0 for one model and, as in
 * the paper, 1 / K for K models, and beta = 1 - alpha, so that the last block keeps the whole update.
 */

import { mergeMethod } from "../../contract.ts";
import { addTaskVectors } from "../../updates/add-task-vectors.ts";
import { linesAlpha, scaleByDepth } from "../../updates/scale-by-depth.ts";

export const method = mergeMethod({
  name: "lines",
  title: "LiNeS",
  about: "scale the update of each block by its depth; also for a single fine-tune",
  cite: "arXiv:2410.17146",
  laws: {
    equalInputs: true,
    equalModels: "scales the change by depth",
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    alpha: { type: "number", help: "share kept by the first block and outside the blocks (0; 1/K for K > 1 models)" },
    beta: { type: "number", help: "what the last block keeps in addition (1 - alpha)" },
  },

  /** base + scale(depth) * sum_k (x_k - base). One pass. */
  async merge(job) {
    const alpha = job.values.alpha ?? (job.count > 1 ? linesAlpha(1, 1, job.count) : 0);
    const scale = scaleByDepth(job.task, alpha, job.values.beta ?? 1 - alpha);
    await addTaskVectors(
      job,
      job.task.models.map(() => ({ plain: scale })),
    );
  },
});
