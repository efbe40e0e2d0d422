/**
 * Anarchic federated averaging: clients join when they like and take as many local steps as they like; each sends its
 * mean gradient, so that the number of steps does not weigh.
 *
 * Yang et al., ICML 2022, https://arxiv.org/abs/2108.09875: base - eta / m sum_k G_k with
 * G_k = (start_k - x_k) / (eta_l steps_k). AFA-CD and AFA-CS are one formula over different clients: for CD give the m
 * that have arrived, for CS the latest checkpoint of every client, each with the start and steps it had then.
 */

import { anarchicWeights } from "../../../run/among/rules/participation.ts";
import { mergeMethod } from "../../contract.ts";
import { applyClientUpdates, openStarts, startOption } from "../../updates/client-updates.ts";

export const method = mergeMethod({
  name: "afa",
  title: "Anarchic federated averaging",
  about: "a step along the mean of the clients' mean gradients (AFA-CD, AFA-CS)",
  cite: "arXiv:2108.09875",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    steps: { type: "number.integer >= 1", per: "model", required: true, help: "local steps that the client took" },
    eta_l: { type: "number > 0", required: true, help: "rate of the local steps" },
    eta: { type: "number", required: true, help: "rate of the server's step" },
    ...startOption,
  },

  survey: openStarts,

  /** One pass over models and starts. */
  async merge(job) {
    const { steps, eta, eta_l } = job.values;
    await applyClientUpdates(
      job,
      anarchicWeights(
        eta,
        steps.map((count) => ({ rate: eta_l, steps: count })),
      ),
    );
  },
});
