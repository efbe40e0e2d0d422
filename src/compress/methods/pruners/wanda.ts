/**
 * Wanda: weights go by their magnitude times the norm of the input that they multiply, compared within each output.
 *
 * Sun et al., A Simple and Effective Pruning Approach for Large Language Models, 2023,
 * https://arxiv.org/abs/2306.11695.
 *
 *   score_ij = |W_ij| sqrt(H_jj)
 *
 * Those that are left stay as they are. Of equal scores the first go. The authors' variant by cumulative scores is not
 * here.
 */
import { diagonalOf } from "../../../tensor/linear-algebra/inverse-factor.ts";
import { dropLowest } from "../../../tensor/weight-selection.ts";
import { defineInputPruner } from "../../pruner.ts";

export const method = defineInputPruner({
  name: "wanda",
  title: "Wanda",
  about: "drops the weights of each output with the least magnitude times norm of their input",
  cite: "arXiv:2306.11695",
  options: {},

  async prune(layer, target) {
    const diagonal = await diagonalOf(layer.gpu, layer.inputs.gram);
    await dropLowest(layer, target, "row", diagonal.map(Math.sqrt));
  },
});
