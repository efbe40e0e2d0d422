/**
 * EDG: two models from one fine-tune, one that regains what tuning took away, one that does what it taught with more
 * force.
 *
 * Tian et al., "Extrapolating and Decoupling Image-to-Video Generation Models", CVPR 2025,
 * https://arxiv.org/abs/2503.00948. With s(d) = d dropped at random with probability `drop` and rescaled (DARE; tensors
 * of one axis stay whole):
 *   degree:  base + b1 s(a1 (base - tuned))
 *   control: a2 tuned + b2 s(tuned - base)
 * A sampler runs the degree model first and switches to the control model. Both parts draw the same entries for one
 * seed; the authors draw twice.
 */

import { mergeMethod } from "../../contract.ts";
import { randomKey } from "../../job/random-key.ts";
import { addTaskVectors } from "../../updates/add-task-vectors.ts";

export const method = mergeMethod({
  name: "edg",
  title: "EDG (extrapolating and decoupling)",
  about: "sparse reverse extrapolation (degree) or sparse reinforcement (control) of a fine-tune",
  cite: "arXiv:2503.00948",
  laws: {
    equalInputs: true,
    equalModels: "goes beyond the base, at random entries",
    order: "merges one model",
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, 1],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    part: { type: "'degree' | 'control'", default: "degree", help: "which of the two models to write" },
    a1: { type: "number", default: 0.25, help: "degree: length of the reverse extrapolation" },
    b1: { type: "number", default: 0.75, help: "degree: share of the sparse reverse direction" },
    a2: { type: "number", default: 1, help: "control: scale of the tuned model" },
    b2: { type: "number", default: 0.25, help: "control: share of the sparse task vector" },
    drop: { type: "0 <= number < 1", default: 0.7, help: "probability that an entry of a direction is dropped" },
  },

  /** One pass. The mask is a function of (seed, tensor name, index) and is never stored. */
  async merge(job) {
    const { part, a1, b1, a2, b2, drop } = job.values;
    const share = part === "degree" ? 0 - a1 * b1 : b2;
    const scale = part === "degree" ? 1 : a2;
    const whole = part === "degree" ? 0 : a2;
    if (job.shape.length < 2 || drop === 0) return addTaskVectors(job, [{ plain: whole + share }], scale);
    const key = randomKey(job.settings.seed, job.streamName, job.task.modelIndex[0]!);
    await addTaskVectors(job, [{ plain: whole, kept: share / (1 - drop), density: 1 - drop, key }], scale);
  },
});
