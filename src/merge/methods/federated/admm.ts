/**
 * Server step of dual-free consensus ADMM: the mean over clients of 2 x_k - x_k', x_k' being the client's iterate
 * before.
 *
 * The server side of noise-robust ADMM-based federated learning, with the dual variable eliminated (z_k = -grad
 * J_k(x_k)), so that one step needs nothing but two iterates of each client. Solving the clients' problems is training
 * and not done here.
 */

import { iterateWeights } from "../../../run/among/rules/participation.ts";
import { mergeMethod } from "../../contract.ts";
import { openExtraCheckpoints } from "../../job/extra-checkpoints.ts";
import { addUpdates, extraEntries } from "../../updates/client-updates.ts";

export const method = mergeMethod({
  name: "admm",
  title: "Dual-free ADMM",
  about: "consensus of clients from their last two iterates",
  cite: "arXiv:2409.13451",
  laws: {
    equalInputs: true,
    equalModels: "goes past the models by their last step",
    order: true,
    baseAtZero: "knows no base",
    homogeneous: "the iterates before are inputs too",
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "none",
  heights: "equal",
  passes: "one",
  options: {
    previous: {
      type: "string",
      per: "model",
      required: true,
      value: "CKPT",
      names: "own-checkpoint",
      help: "the client's iterate before the one given",
    },
  },

  survey: (tensors) =>
    openExtraCheckpoints(
      tensors.flatMap(({ values }) => values.previous),
      "iterates",
    ),

  /** mean_k x_k + mean_k (x_k - x_k'). One pass over both iterates. */
  async merge(job) {
    const share = iterateWeights(job.count);
    await addUpdates(job, share, share, extraEntries(job, job.survey, job.values.previous));
  },
});
