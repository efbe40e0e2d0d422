/**
 * A router of classifiers learns which of them are right, and the likeliest of them learn the row
 * (train/losses/correctness.ts). Aspis et al., "DriftMoE", 2025, https://arxiv.org/abs/2507.18464
 */
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { correctnessObjective } from "../../losses/correctness.ts";

export const method = defineLabelLoss({
  name: "correctness",
  title: "Correctness of experts",
  about: "of a mixture of classifiers (mlp-experts): a router that learns which of them are right",
  cite: "arXiv:2507.18464",
  laws: noLaws("a loss of a mixture's parts"),
  softens: true,
  options: {
    experts_per_row: {
      type: "number.integer >= 1",
      default: 3,
      help: "experts that learn a row: those that the router holds the likeliest",
      value: "K",
    },
  },
  own: ({ model, values, softened: { smoothing = 0 } }) => ({
    objective: correctnessObjective(model, { perRow: values.experts_per_row, smoothing }),
  }),
});
