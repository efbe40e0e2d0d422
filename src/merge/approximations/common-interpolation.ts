/**
 * Interpolation between the shared tokens whose donor rows are nearest to the token's: the weights that make its row in
 * the donor make it in the model.
 *
 * mergekit's common_interpolation (https://github.com/arcee-ai/mergekit). distance-proportional: 1 / distance, made to
 * sum to 1 (with --cosine-similarity the similarity instead); barycentric: least squares with sum 1; least_squares
 * without. Where several weights are as good, those of least length. Distances of candidates are f64, found by f32
 * products.
 */
import { approximation } from "../approximation.ts";
import { lengthsOf, type Neighbour, nearestRows } from "../transplant/nearest-rows.ts";
import { NEIGHBOURS } from "../transplant/options.ts";
import { SharedSearch } from "../transplant/shared-search.ts";
import { symmetricSolve } from "../transplant/symmetric-solve.ts";
import type { Mix } from "../vocabulary/mixed-table.ts";

/** Bytes on the host at one time of products with all shared rows, and of the rows of candidates. */
const HELD = 1 << 27;
const MOST_ROWS = 256;
const LEAST = 1e-6;

function byDistance(found: readonly Neighbour[], cosine: boolean): number[] {
  const weights = found.map(({ distance }) => (cosine ? 1 - distance : 1 / Math.max(distance, LEAST)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / Math.max(sum, LEAST));
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Weights w that minimise |sum_i w_i row_i - target|, with `sumsToOne` among those of sum 1. */
function leastSquares(found: readonly Neighbour[], target: Float32Array, sumsToOne: boolean): number[] {
  const n = found.length + Number(sumsToOne);
  const matrix = new Float64Array(n * n);
  const right = new Float64Array(n);
  for (const [i, a] of found.entries()) {
    for (const [j, b] of found.entries()) matrix[i * n + j] = dot(a.values, b.values);
    right[i] = dot(a.values, target);
    if (!sumsToOne) continue;
    matrix[i * n + n - 1] = 1;
    matrix[(n - 1) * n + i] = 1;
  }
  if (sumsToOne) right[n - 1] = 1;
  return [...symmetricSolve(matrix, right).subarray(0, found.length)];
}

export const method = approximation({
  name: "common-interpolation",
  title: "Common interpolation",
  about: "between the shared tokens whose rows are nearest in the donor",
  cite: "mergekit",
  options: {
    terms: NEIGHBOURS,
    weight_scheme: {
      type: "'distance_proportional' | 'barycentric' | 'least_squares'",
      default: "distance_proportional",
      short: "w",
      help: "what weighs the nearest",
    },
    cosine_similarity: { type: "boolean", default: false, help: "nearest by angle, not by distance" },
  },
  needs: ["donor"],
  async rows(question, { terms: k, weight_scheme, cosine_similarity }) {
    const { donor, shared, wanted, signal } = question;
    const search = await SharedSearch.open(await question.gpu(), donor!, shared.donor);
    const lengths = await lengthsOf(donor!, shared.donor);
    const batch = Math.max(1, Math.min(MOST_ROWS, Math.floor(HELD / (8 * (shared.donor.length + k * donor!.columns)))));
    const weigh = (found: readonly Neighbour[], target: Float32Array) =>
      weight_scheme === "distance_proportional"
        ? byDistance(found, cosine_similarity)
        : leastSquares(found, target, weight_scheme === "barycentric");
    const mixes: Mix[] = [];
    try {
      for (let first = 0; first < wanted.length; first += batch) {
        signal.throwIfAborted();
        const ids = wanted.slice(first, first + batch).map(({ id }) => id);
        const among = { table: donor!, ids: shared.donor, lengths, search };
        const nearest = await nearestRows(among, ids, { k, cosine: cosine_similarity });
        for (const { target, found } of nearest)
          mixes.push({ rows: found.map(({ place }) => shared.own[place]!), weights: weigh(found, target) });
        question.advance(ids.length);
      }
    } finally {
      search.free();
    }
    return (place) => mixes[place]!;
  },
});
