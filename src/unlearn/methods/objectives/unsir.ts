/**
 * UNSIR: noise on which the model errs most stands for the rows to forget, with their labels. It is learnt beside the
 * rows to keep for some passes over these, which impairs what the labels meant; then the rows to keep alone repair the
 * model. Tarun et al., "Fast Yet Effective Machine Unlearning", IEEE TNNLS 2023, https://arxiv.org/abs/2111.08947
 *
 * The noise climbs by the sign of its gradient and is not penalized for its length, which the steps bound; the authors
 * use Adam and a penalty of 0.1 on it. The rows to forget themselves are never shown: only their labels are read.
 */
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "unsir",
  title: "UNSIR",
  about: "learns noise on which it errs most as the forget set's classes, then repairs itself on the retain set",
  cite: "arXiv:2111.08947",
  laws: {
    ...EVERY_LAW,
    forgets: "noise is in the place of the rows before the loss sees them",
    batchesAdd: "one of its terms rests in some steps",
  },
  weights: { forget: 1, retain: 1 },
  options: {
    noise_steps: { type: "number.integer >= 1", default: 25, help: "steps in which noise is made", value: "N" },
    noise_rate: { type: "number > 0", default: 0.1, help: "their length, in units of the inputs", value: "RATE" },
    impair_epochs: {
      type: "number >= 0",
      default: 1,
      help: "passes over the rows to keep beside noise; all later steps repair",
      value: "N",
    },
  },
  noise: ({ noise_steps: steps, noise_rate: rate }) => ({ steps, rate }),
  sequences: (_, { nll }) => nll,
  adaptive: ({ values: { impair_epochs }, weights, passes }) => ({
    values: (step) => ({
      forget_weight: step <= Math.round(impair_epochs * passes.retain) ? weights.forget : 0,
      retain_weight: weights.retain,
    }),
    state: () => null,
    load: () => {},
  }),
});
