/**
 * The mean update rebuilt from the leading principal directions of the clients' updates. Zeng et al., MICCAI 2024,
 * https://arxiv.org/abs/2408.12300; merge/methods/federated/principal-svd.ts has the formula.
 */
import { symmetricEigen } from "../../../tensor/linear-algebra/symmetric-eigen.ts";

/** Below this share of the largest eigenvalue a direction is rounding and is left out. */
const TINY = 1e-10;

/**
 * Coefficients c with result = base + sum_k c_k D_k, from the inner products of the updates. NaN where these are not
 * finite: so is the whole tensor then, as with any method of inner products, and the merge says why.
 */
export function principalWeights(gram: readonly (readonly number[])[], keep: number): number[] {
  const m = gram.length;
  if (!gram.flat().every(Number.isFinite)) return gram.map(() => Number.NaN);
  const { values, vectors } = symmetricEigen(Float64Array.from(gram.flat()), m);
  const kept = Math.max(1, Math.floor(keep * m));
  const all = [...values].map((value) => (value > TINY * values[0]! ? value : 0));
  const used = all.slice(0, kept);
  const total = all.reduce((a, b) => a + b, 0);
  const weights = gram.map(() => 0);
  if (total <= 0) return weights;
  for (const [j, value] of used.entries()) {
    if (value === 0) continue;
    const e = vectors.subarray(j * m, j * m + m);
    // <D_k, v_j> = value e_k and |v_j|^2 = value, value being an eigenvalue of the inner products themselves.
    const signed = gram.reduce(
      (sum, row, k) => sum + Math.sign(Math.abs(e[k]!) > TINY ? e[k]! : 0) * Math.sqrt(row[k]!),
      0,
    );
    const length = (signed / m) * (value / total);
    for (let k = 0; k < m; k++) weights[k]! += (length * e[k]!) / Math.sqrt(value);
  }
  return weights;
}
