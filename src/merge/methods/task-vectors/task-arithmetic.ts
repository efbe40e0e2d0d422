/**
 * Task arithmetic: the base plus a weighted sum of task vectors.
 *
 * Ilharco et al., ICLR 2023, https://arxiv.org/abs/2212.04089.
 */
import { dense } from "../../updates/sparsify.ts";
import { taskVectorLaws, taskVectorMethod } from "../../updates/task-vectors.ts";

export const method = taskVectorMethod({
  name: "task_arithmetic",
  title: "Task arithmetic",
  about: "the base plus a weighted sum of task vectors",
  cite: "arXiv:2212.04089",
  laws: taskVectorLaws,
  sparsify: dense,
  elect: false,
  normalize: false,
});
