/**
 * The change of one weight as a product of two thin matrices by singular value decomposition: how many directions are
 * worth keeping, and what is lost.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { HostMatrix, Triplets } from "../../tensor/linear-algebra/leading-svd.ts";
import { type FloatMatrix, residualSquares, truncatedSvd } from "../../tensor/linear-algebra/truncated-svd.ts";
import type { Weight } from "./changes.ts";
import type { Difference } from "./compare.ts";

/** Half a unit in the last place of f32. */
const ROUNDING = 2 ** -24;

export interface Decomposed {
  readonly triplets: Triplets;
  /** Sum of the squares of the whole change, and of what all triplets together leave out. */
  readonly squares: number;
  readonly rest: number;
}

/** The change of a weight, (out, in). */
function changeMatrix({ out, into, turned }: Weight, values: Float32Array): FloatMatrix {
  return turned ? { rows: into, columns: out, values } : { rows: out, columns: into, values };
}

/**
 * The singular value that rounding alone of f32 weights gives a difference, about: that of a matrix of noise.
 */
export function noiseOf({ tuned, base }: Weight, { rows, columns }: FloatMatrix, before: number): number {
  if (tuned.dtype !== "F32" || base.dtype !== "F32") return 0;
  return ROUNDING * Math.sqrt(before / (rows * columns)) * (Math.sqrt(rows) + Math.sqrt(columns));
}

/**
 * Decomposes a change to at most `most` directions: those above `epsilon` and above the rounding of the weights. Left
 * vectors are over outputs, right ones over inputs.
 */
export async function decompose(
  weight: Weight,
  { values, squares, before }: Difference,
  { most, epsilon }: { readonly most: number; readonly epsilon: number },
  openGpu: () => Promise<Gpu>,
): Promise<Decomposed> {
  const matrix = changeMatrix(weight, values);
  const floor = Math.max(epsilon, noiseOf(weight, matrix, before));
  const found = await truncatedSvd(matrix, Math.min(most, matrix.rows, matrix.columns), openGpu);
  const count = found.s.filter((s) => s > floor).length;
  const cut = ({ columns, values: all }: HostMatrix): HostMatrix => ({
    ...{ rows: count, columns },
    values: all.slice(0, count * columns),
  });
  const kept = { s: found.s.slice(0, count), left: cut(found.left), right: cut(found.right) };
  const rest = await residualSquares(matrix, kept, openGpu);
  const triplets = weight.turned ? { s: kept.s, left: kept.right, right: kept.left } : kept;
  return { triplets, squares, rest };
}

/** The least rank that keeps a share of the squares of a change; all directions where none does. */
export function rankForEnergy({ triplets: { s }, squares }: Decomposed, share: number): number {
  let sum = 0;
  for (const [k, value] of s.entries()) {
    sum += value * value;
    if (sum >= share * squares) return k + 1;
  }
  return s.length;
}

/** What of a change is left out at a rank, squared: directions are at right angles. */
export const lostAt = (s: ArrayLike<number>, rest: number, rank: number): number => {
  let lost = rest;
  for (let k = rank; k < s.length; k++) lost += s[k]! ** 2;
  return lost;
};
