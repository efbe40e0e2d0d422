/**
 * Extrapolation: along the line through a base and its fine-tune, beyond one of the two.
 *
 * back: base + alpha (base - tuned), which amplifies what tuning took away (reverse extrapolation of EDG, CVPR 2025,
 * https://arxiv.org/abs/2503.00948). forward: tuned + alpha (tuned - base), which continues in the direction of tuning
 * (ExPO, https://arxiv.org/abs/2404.16792; base is then the SFT model and tuned the aligned one). The two are one line:
 * forward by c is back by -(1 + c).
 */

import { mergeMethod } from "../../contract.ts";
import { addTaskVectors } from "../../updates/add-task-vectors.ts";

const BACK = 0.25;
const FORWARD = 0.3;

export const method = mergeMethod({
  name: "extrapolate",
  title: "Extrapolation (reverse, ExPO)",
  about: "beyond the base, away from its fine-tune, or beyond the fine-tune",
  cite: "arXiv:2503.00948",
  laws: {
    equalInputs: true,
    equalModels: "goes beyond the base or the model",
    order: "merges one model",
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, 1],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    direction: { type: "'back' | 'forward'", default: "back", help: "away from the tuned model, or on past it" },
    alpha: { type: "number", help: "how far, in lengths of the task vector (0.25 back, 0.3 forward)" },
  },

  /** base + c (x - base), c = -alpha or 1 + alpha. One pass. */
  async merge(job) {
    const { direction, alpha = direction === "back" ? BACK : FORWARD } = job.values;
    await addTaskVectors(job, [{ plain: direction === "back" ? 0 - alpha : 1 + alpha }]);
  },
});
