/**
 * Elastic weight consolidation: weights on which the likelihood of earlier tasks hangs are held to where they were.
 *
 *   lambda / 2 sum_i F_i (theta_i - theta*_i)^2,  F <- gamma F + F_task after each task
 *
 * F_task is the mean over rows of squared gradients of their log-likelihood. Kirkpatrick et al., PNAS 2017,
 * https://arxiv.org/abs/1612.00796; one anchor and running importances as in Schwarz et al., ICML 2018,
 * https://arxiv.org/abs/1805.06370. Outputs that a scenario hides take part in the likelihood.
 */
import { continualMethod } from "../../continual/contract.ts";
import { gatherFisher, MEASURED, penaltyLearner } from "../../continual/penalty.ts";

export const method = continualMethod({
  name: "ewc",
  title: "Elastic weight consolidation",
  about: "a penalty on the way from the weights before, each weighed by its Fisher information",
  cite: "arXiv:1612.00796",
  options: {
    lambda: { type: "number >= 0", default: 100, help: "weight of lambda / 2 sum F (theta - theta*)^2" },
    fisher_labels: {
      type: "'exact' | 'sampled' | 'empirical'",
      default: "empirical",
      help: "labels of the likelihoods: every output at its probability, one drawn by the model, or the rows' own",
    },
    ...MEASURED,
  },
  begin: (stream) =>
    penaltyLearner(stream, {
      name: "ewc",
      lambda: stream.values.lambda,
      gather: gatherFisher(stream, stream.values.fisher_labels),
    }),
});
