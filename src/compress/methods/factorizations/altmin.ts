/**
 * Alternating minimisation: each factor in turn is the best for the other, on the weights that are trusted alone.
 *
 * Gu, Song, Yin and Zhang, Low Rank Matrix Completion via Robust Alternating Minimization in Nearly Linear Time, 2023,
 * https://arxiv.org/abs/2302.11068
 *
 *   min over U, V of  sum over trusted (i, j) of h_j (W_ij - u_i v_j)^2 + mu (|U|^2 + |V|^2)
 *
 * h_j is the second moment of input j where rows were given, else 1. With `--missing-zeros` weights that are exactly 0
 * were pruned, and are free: the factors complete them. Solves are approximate, by a few steps of conjugate gradients
 * from where the last round ended: their errors shrink along with the rest. The other factor is made orthonormal
 * before, which is the exact form of the paper's sketched preconditioner.
 */
import { diagonalOf } from "../../../tensor/linear-algebra/inverse-factor.ts";
import { alternatingFactors } from "../../alternating.ts";
import { defineWeightFactorization } from "../../factorization.ts";
import { readWeights } from "../../layer.ts";
import { positiveScales } from "../../scaled-svd.ts";

export const method = defineWeightFactorization({
  name: "altmin",
  title: "Alternating minimisation",
  about: "each factor in turn the best for the other, by inputs, and without weights that were pruned",
  cite: "arXiv:2302.11068",
  options: {
    sweeps: { type: "number.integer >= 1", default: 30, help: "rounds in which both factors are solved for" },
    solve_steps: {
      type: "number.integer >= 1",
      default: 8,
      help: "steps of conjugate gradients to a solve; as many as the rank solve exactly",
    },
    missing_zeros: {
      type: "boolean",
      default: false,
      help: "weights that are 0 were pruned: leave them to the factors",
    },
  },

  async factor(layer, rank, { sweeps, solve_steps: steps, missing_zeros }) {
    const { gpu, columns, inputs } = layer;
    const weight = await readWeights(layer);
    const moments = inputs ? await diagonalOf(gpu, inputs.gram) : new Float32Array(columns).fill(1);
    const scales = positiveScales(moments.map(Math.sqrt));
    const missing = missing_zeros ? Uint32Array.from(weight, (x) => Number(x === 0)) : undefined;
    const given = { gpu, weight, scales, ...(missing ? { missing } : {}) };
    return alternatingFactors(given, { rank, sweeps, steps, signal: layer.signal });
  },
});
