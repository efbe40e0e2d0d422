/**
 * Magnitude pruning: the weights of least magnitude go.
 *
 * Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015,
 * https://arxiv.org/abs/1506.02626. Those that are left stay as they are. Of equal weights the first go.
 */

import { UserError } from "../../../errors.ts";
import { dropLowest } from "../../../tensor/weight-selection.ts";
import { GlobalCut } from "../../global-cut.ts";
import { defineWeightPruner } from "../../pruner.ts";

export const method = defineWeightPruner({
  name: "magnitude",
  title: "Magnitude pruning",
  about: "sets the weights of least magnitude to zero, without data",
  cite: "arXiv:1506.02626",
  options: {
    scope: {
      type: "'global' | 'layer' | 'row'",
      default: "layer",
      help: "what a share is counted in: all layers together, each layer, or each output of one",
    },
  },

  check(target, { scope }) {
    if (scope === "global" && !("share" in target))
      throw new UserError("--scope global counts a share in all layers, and a pattern has none", "give --sparsity");
  },

  survey: (target, { scope }) => (scope === "global" && "share" in target ? new GlobalCut(target.share) : undefined),

  async prune(layer, target, { scope }) {
    const ones = new Float32Array(layer.columns).fill(1);
    await dropLowest(layer, target, scope === "row" ? "row" : "matrix", ones);
  },
});
