/**
 * Magnitude pruning: the weights of least magnitude go.
 *
 * Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015,
 * https://arxiv.org/abs/1506.02626. Those that are left stay as they are. Of equal weights the first go.
 */

import { dropLowest } from "../../../tensor/weight-selection.ts";
import { defineWeightPruner } from "../../pruner.ts";

export const method = defineWeightPruner({
  name: "magnitude",
  title: "Magnitude pruning",
  about: "sets the weights of least magnitude to zero, without data",
  cite: "arXiv:1506.02626",
  options: {
    scope: {
      type: "'layer' | 'row'",
      default: "layer",
      help: "what a share is counted in: all weights of a layer, or those of each output",
    },
  },

  async prune(layer, target, { scope }) {
    const ones = new Float32Array(layer.columns).fill(1);
    await dropLowest(layer, target, scope === "row" ? "row" : "matrix", ones);
  },
});
