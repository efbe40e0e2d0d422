/**
 * MADAug, a model-adaptive augmentation curriculum: images are augmented more often with time, and a policy that reads
 * the model's features chooses how, so that held-out loss falls. Hou, Zhang and Zhou 2023,
 * https://arxiv.org/abs/2309.04747; learned-augmenting/learner.ts has the formulas.
 *
 * Departs from it in that operations are drawn and rewarded instead of being differentiated through, and that lessons
 * are on rows of their own at the weights after a step.
 */
import { permutation } from "../../../data/shuffle.ts";
import { defineOrdering } from "../../contract.ts";

export const method = defineOrdering({
  name: "madaug",
  title: "MADAug",
  about: "images augmented more often with time, in ways that lower held-out loss",
  cite: "arXiv:2309.04747",
  laws: {
    ordinaryOrder: true,
    easiestFirst: "goes through all rows alike",
    unknownLast: "knows no losses",
    allInTheEnd: true,
  },
  options: {
    tau: {
      type: "number >= 0",
      default: 0.34,
      help: "an image is augmented with probability tanh(t / tau), t the share that is done; 0: always",
    },
    operations: { type: "number.integer >= 1", default: 2, help: "operations that an augmented image goes through" },
    policy: { type: "'learnt' | 'uniform'", default: "learnt", help: "what chooses them; uniform draws any" },
    policy_every: { type: "number.integer >= 1", default: 10, help: "steps between two lessons of the policy" },
    policy_lr: { type: "number > 0", default: 1e-3, help: "learning rate of the policy" },
    policy_hidden: { type: "number.integer >= 1", default: 32, help: "units of its layer" },
    aim: { type: "string[]", value: "GROUP", help: "held-out groups whose loss is to fall; all when left out" },
  },
  rows: ({ lengths, epoch, seed }) => permutation(lengths.length, seed, epoch),
  augments: ({ tau, operations, policy, policy_every, policy_lr, policy_hidden }) => ({
    ...{ tau, operations, learns: policy === "learnt", every: policy_every, lr: policy_lr, hidden: policy_hidden },
  }),
});
