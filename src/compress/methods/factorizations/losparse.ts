/**
 * LoSparse: two thin matrices, and beside them some columns of what they leave out.
 *
 * Li et al., LoSparse: Structured Compression of Large Language Models based on Low-Rank and Sparse Approximation,
 * 2023, https://arxiv.org/abs/2306.11222, as MC-SMoE (2023, https://arxiv.org/abs/2310.01334) uses it on merged
 * experts.
 *
 *   W = L R + S      L = U sqrt(Sigma)_r, R = sqrt(Sigma)_r V^T of W      S = W - L R in the columns that are kept
 *
 * Columns of S go in rounds: their number falls by a cubic curve, and those go whose importance, averaged over rounds
 * (0.85), is least. The authors take |S times its gradient| from a loss that they train with at the same time; here
 * nothing is trained, and the importance of a column is what the layer's own outputs lose with it beside what is gone:
 * sum_i S_ij^2 H_jj + 2 S_ij (D H)_ij, D what is gone, H = I without rows. Train or distill the result afterwards.
 */

import { diagonalOf } from "../../../tensor/linear-algebra/inverse-factor.ts";
import { matmul } from "../../../tensor/linear-algebra/matmul.ts";
import { defineWeightFactorization, type Factors } from "../../factorization.ts";
import { type Layer, readWeights } from "../../layer.ts";
import { scaledSvd } from "../../scaled-svd.ts";

/** Share of the importance of earlier rounds. */
const BETA = 0.85;

export const method = defineWeightFactorization({
  name: "losparse",
  title: "LoSparse",
  about: "singular values, and the columns of what they leave out that the layer's outputs miss most",
  cite: "arXiv:2306.11222",
  options: {
    keep_columns: {
      type: "0 <= number <= 1",
      default: 0.15,
      help: "share of the columns of what is left out that stay",
    },
    prune_rounds: { type: "number.integer >= 1", default: 10, help: "rounds in which columns go" },
  },

  async factor(layer, rank, { keep_columns, prune_rounds }) {
    const { gpu, rows, columns } = layer;
    const weight = await readWeights(layer);
    const factors = await scaledSvd(gpu, weight, new Float64Array(columns).fill(1), rank);
    const rest = await restOf(layer, weight, factors);
    const kept = await keptColumns(layer, rest, { keep: keep_columns, rounds: prune_rounds });
    const values = new Float32Array(rows * kept.length);
    for (let row = 0; row < rows; row++)
      for (const [k, column] of kept.entries()) values[row * kept.length + k] = rest[row * columns + column]!;
    return { ...factors, rest: { columns: kept, values } };
  },
});

/** W - left right^T. */
async function restOf(layer: Layer, weight: Float32Array, { rank, left, right }: Factors): Promise<Float32Array> {
  const { gpu, rows, columns } = layer;
  if (rank === 0) return weight;
  using held = gpu.upload(weight, "what factors leave out");
  using u = gpu.upload(left, "left factor");
  using v = gpu.upload(right, "right factor");
  const c = { buffer: held.buffer, rows, columns };
  const a = { buffer: u.buffer, rows, columns: rank };
  const b = { buffer: v.buffer, rows: columns, columns: rank };
  await matmul(gpu, { form: "nt", a, b, c, scale: -1, accumulate: true });
  return gpu.readFloats(held.buffer, weight.length);
}

/** The columns that are left after all rounds, in order. */
async function keptColumns(
  layer: Layer,
  rest: Float32Array,
  { keep, rounds }: { readonly keep: number; readonly rounds: number },
): Promise<number[]> {
  const { gpu, columns, inputs } = layer;
  const diagonal = inputs ? await diagonalOf(gpu, inputs.gram) : new Float32Array(columns).fill(1);
  const gone = new Float32Array(rest.length);
  let kept = Array.from({ length: columns }, (_, j) => j);
  const importance = new Float64Array(columns);
  for (let round = 1; round <= rounds; round++) {
    const slopes = inputs ? await timesMoments(layer, gone) : gone;
    for (const j of kept) {
      let cost = 0;
      for (let i = j; i < rest.length; i += columns) cost += rest[i]! ** 2 * diagonal[j]! + 2 * rest[i]! * slopes[i]!;
      importance[j] = round === 1 ? cost : BETA * importance[j]! + (1 - BETA) * cost;
    }
    const share = keep + (1 - keep) * (1 - round / rounds) ** 3;
    const order = kept.toSorted((a, b) => importance[b]! - importance[a]! || a - b);
    const left = Math.round(share * columns);
    for (const j of order.slice(left)) for (let i = j; i < rest.length; i += columns) gone[i] = rest[i]!;
    kept = order.slice(0, left).sort((a, b) => a - b);
  }
  return kept;
}

/** D H of a matrix on the host. */
async function timesMoments({ gpu, rows, columns, inputs }: Layer, values: Float32Array): Promise<Float32Array> {
  if (!inputs) return values;
  using held = gpu.upload(values, "what is gone");
  using moved = gpu.buffer(4 * values.length, "what is gone by H");
  const a = { buffer: held.buffer, rows, columns };
  await matmul(gpu, { form: "nn", a, b: inputs.gram, c: { buffer: moved.buffer, rows, columns } });
  return gpu.readFloats(moved.buffer, values.length);
}
