/**
 * SCRUB: a pass over the rows to forget away from the model as it was, and a pass over those to keep near to it and to
 * the labels, in turns; after some turns the latter alone. Kurmanji et al., NeurIPS 2023,
 * https://arxiv.org/abs/2302.09880
 *
 *   forget  -KL_T(theta0 || theta)
 *   retain  0.99 CE + 0.1 KL_T(theta0 || theta)
 *
 * with KL_T = T^2 KL(softmax(z0 / T) || softmax(z / T)).
 */

import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { divergence } from "../../../tensor/ops/divergence.ts";
import { add, neg, scale } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "scrub",
  title: "SCRUB",
  about: "leaves the model as it was on the forget set and stays with it on the retain set, pass by pass in turns",
  cite: "arXiv:2302.09880",
  laws: {
    ...EVERY_LAW,
    gradientIsSlope: "the model as it was, from which it goes away, is where it starts: the slope there is 0",
    forgets: "the slope where it starts is 0",
    bounded: "it may go away without end",
    batchesAdd: "one of its terms rests in every step",
  },
  weights: { forget: 1, retain: 1 },
  retain: "own",
  original: true,
  options: {
    max_passes: {
      type: "number.integer >= 0",
      default: 3,
      help: "turns in which it goes away from the model as it was",
      value: "N",
    },
    softness: { type: "number > 0", default: 4, help: "temperature of the divergence", value: "T" },
    label_weight: { type: "number >= 0", default: 0.99, help: "of the labels of rows to keep", value: "W" },
    near_weight: { type: "number >= 0", default: 0.1, help: "of staying near on rows to keep", value: "W" },
  },
  rows: (rec, { logits, original, targets, values: { softness } }) =>
    neg(rec, divergence(rec, logits, original(), targets, { kind: "forward-kl", temperature: softness })),
  keeps(rec, { logits, original, targets, values: { softness, label_weight, near_weight } }) {
    const near = divergence(rec, logits, original(), targets, { kind: "forward-kl", temperature: softness });
    return add(rec, scale(rec, crossEntropy(rec, logits, targets), label_weight), scale(rec, near, near_weight));
  },
  adaptive: ({ values: { max_passes }, weights, passes }) => ({
    values(step) {
      const turn = passes.forget + passes.retain;
      const leaves = step <= max_passes * turn && (step - 1) % turn < passes.forget;
      return { forget_weight: leaves ? weights.forget : 0, retain_weight: leaves ? 0 : weights.retain };
    },
    state: () => null,
    load: () => {},
  }),
});
