/**
 * Ascent, then descent: steps up the loss of the rows to forget alone, and from then on steps down that of the rows to
 * keep alone. Golatkar et al., CVPR 2020, https://arxiv.org/abs/1911.04933; both at once, with weights, is grad-diff.
 */
import { neg } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "neg-grad",
  title: "Ascent, then descent",
  about: "climbs the loss of the forget set for some passes, then repairs the model on the retain set alone",
  cite: "arXiv:1911.04933",
  laws: {
    ...EVERY_LAW,
    bounded: "ascent has no end",
    batchesAdd: "one of its terms rests in every step",
  },
  weights: { forget: 1, retain: 1 },
  options: {
    ascent_epochs: {
      type: "number >= 0",
      default: 3,
      help: "passes over the rows to forget that go up; all later steps repair",
      value: "N",
    },
  },
  sequences: (rec, { nll }) => neg(rec, nll),
  adaptive: ({ values: { ascent_epochs }, weights, passes }) => ({
    values: (step) =>
      step <= Math.round(ascent_epochs * passes.forget)
        ? { forget_weight: weights.forget, retain_weight: 0 }
        : { forget_weight: 0, retain_weight: weights.retain },
    state: () => null,
    load: () => {},
  }),
});
