/**
 * Rows whose gradients point where those of the rows that are aimed at point: low-rank gradient similarity search. Xia
 * et al. 2024, https://arxiv.org/abs/2402.04333
 *
 *   score(x) = max over sets T of < g(x) / |g(x)|, mean_{t in T} g(t) / |g(t)| >
 *
 * Here gradients are those of the given weights (of an adapter, where the model has one), without Adam's moments and
 * summed over no other checkpoints, and sketched.
 */
import { defineSelector } from "../../contract.ts";
import { ranked } from "../../ranked-rows.ts";

const unit = (vector: Float64Array): Float64Array => {
  const norm = Math.hypot(...vector);
  return norm > 0 ? vector.map((x) => x / norm) : vector;
};

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** The mean of unit vectors along vectors that are known. */
function meanDirection(vectors: readonly Float64Array[]): Float64Array {
  const known = vectors.filter((vector) => vector.every(Number.isFinite)).map(unit);
  return Float64Array.from(vectors[0]!, (_, i) => known.reduce((sum, vector) => sum + vector[i]!, 0) / known.length);
}

export const method = defineSelector({
  name: "less",
  title: "Gradient similarity",
  about: "rows whose gradients point where those of the rows that are aimed at point",
  cite: "arXiv:2402.04333",
  needs: "sketches",
  target: true,
  laws: { anyRowOrder: true, unknownLast: true, nested: true },
  options: {},
  select({ sketches, targets, budget }) {
    const aims = targets.map((set) => meanDirection(set.sketches));
    const scores = sketches.map((sketch) => {
      const direction = unit(sketch);
      return Math.max(...aims.map((aim) => dot(direction, aim)));
    });
    return { rows: [...ranked(scores, "largest").subarray(0, budget)], notes: { scores } };
  },
});
