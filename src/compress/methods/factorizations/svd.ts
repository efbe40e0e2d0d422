/**
 * Truncated singular value decomposition: the two thin matrices whose product is nearest to the weights.
 *
 * Eckart and Young, The approximation of one matrix by another of lower rank, 1936, https://doi.org/10.1007/BF02288367
 */

import { defineWeightFactorization } from "../../factorization.ts";
import { readWeights } from "../../layer.ts";
import { scaledSvd } from "../../scaled-svd.ts";

export const method = defineWeightFactorization({
  name: "svd",
  title: "Truncated SVD",
  about: "keep the largest singular values: the product that is nearest to the weights",
  cite: "doi:10.1007/BF02288367",
  options: {},

  async factor(layer, rank) {
    return scaledSvd(layer.gpu, await readWeights(layer), new Float64Array(layer.columns).fill(1), rank);
  },
});
