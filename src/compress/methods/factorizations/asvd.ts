/**
 * ASVD: singular values of the weights with their columns scaled by what the inputs are, so that what large inputs read
 * is kept better.
 *
 * Yuan et al., ASVD: Activation-aware Singular Value Decomposition for Compressing Large Language Models, 2023,
 * https://arxiv.org/abs/2312.05821
 *
 *   W S = U Sigma V^T      S_jj = (mean |x_j|)^alpha      W is about U Sigma V^T S^-1
 *
 * All layers get the rank that is asked for: the paper's search of a rank for each layer is not here.
 */
import { defineInputFactorization } from "../../factorization.ts";
import { readWeights } from "../../layer.ts";
import { positiveScales, scaledSvd } from "../../scaled-svd.ts";

export const method = defineInputFactorization({
  name: "asvd",
  title: "ASVD",
  about: "singular values of the weights scaled by the mean magnitudes of their inputs",
  cite: "arXiv:2312.05821",
  options: {
    alpha: { type: "0 <= number <= 2", default: 0.5, help: "power of the inputs' mean magnitude; 0 is plain SVD" },
  },

  async factor(layer, rank, { alpha }) {
    const scales = positiveScales(Float64Array.from(layer.inputs.magnitudes, (x) => x ** alpha));
    return scaledSvd(layer.gpu, await readWeights(layer), scales, rank);
  },
});
