/**
 * KnOTS: one singular value decomposition of all changes side by side gives them a shared basis U S; what is left of
 * each, its own V_k, is merged value by value.
 *
 *   [D_1 ... D_K] = U S [V_1^T ... V_K^T],   D = U S merge(V_1 ... V_K)^T
 *
 * Stoica et al., ICLR 2025, https://arxiv.org/abs/2410.19735. The changes are never made: the decomposition is that of
 * their thin factors. D has the rank of all changes together and is cut to the rank that is asked for.
 */
import {
  type HostMatrix,
  hostMatrix,
  hostProduct,
  leadingSvd,
  transposed,
} from "../../../tensor/linear-algebra/leading-svd.ts";
import { rowBasis, svdOfProduct } from "../../../tensor/linear-algebra/low-rank.ts";
import { combineMethod, type Part } from "../../contract.ts";
import { asProduct, besides, svdRank } from "../../forms.ts";
import { density, linear, majority, ties } from "../../tensor-formulas.ts";

/** U S, (out, R), and V_k^T, (R, in) of each part. */
export function sharedBasis(parts: readonly Part[]): { readonly shared: HostMatrix; readonly own: HostMatrix[] } {
  const { b } = besides(parts, () => 1);
  const outer = rowBasis(transposed(b)); // B = basis^T coefficients^T
  const inner = parts.map(({ a }) => rowBasis(a));
  const widths = inner.map(({ basis }) => basis.rows);
  const width = widths.reduce((sum, count) => sum + count, 0);
  // The core: B's coefficients times the block diagonal of each A's own, scaled.
  const blocks = hostMatrix(b.columns, width);
  let [row, column] = [0, 0];
  for (const [k, { coefficients }] of inner.entries()) {
    for (let r = 0; r < coefficients.rows; r++)
      for (let c = 0; c < coefficients.columns; c++)
        blocks.values[(row + r) * width + column + c] =
          parts[k]!.scale * coefficients.values[r * coefficients.columns + c]!;
    row += coefficients.rows;
    column += coefficients.columns;
  }
  const { s, left, right } = leadingSvd(hostProduct(transposed(outer.coefficients), blocks));
  const { b: shared } = asProduct({ s, left: hostProduct(left, outer.basis), right });
  let first = 0;
  const own = inner.map(({ basis }) => {
    const count = basis.rows;
    const mine = hostMatrix(right.rows, count);
    for (let r = 0; r < right.rows; r++)
      mine.values.set(right.values.subarray(r * width + first, r * width + first + count), r * count);
    first += count;
    return hostProduct(mine, basis);
  });
  return { shared, own };
}

export const method = combineMethod({
  name: "knots",
  title: "KnOTS",
  about: "changes in the basis that one SVD of all of them gives, merged there by ties or as a sum",
  cite: "arXiv:2410.19735",
  options: {
    inner: { type: "'ties' | 'linear'", default: "ties", help: "how the changes are merged in their shared basis" },
    ...density,
    ...majority,
    ...svdRank,
  },
  ranks: "chosen",
  async combine({ parts, into, rank, values, compat, random }) {
    const { shared, own } = sharedBasis(parts);
    if (shared.columns === 0) return { a: hostMatrix(0, into), b: hostMatrix(shared.rows, 0) };
    const weights = parts.map(({ weight, scale }) => (compat ? weight * scale : weight));
    const formula = values.inner === "ties" ? ties : linear;
    const merged = formula(
      own.map((matrix) => matrix.values),
      weights,
      { values, compat, random: (k) => random(k, "basis") },
    );
    return asProduct(svdOfProduct(shared, hostMatrix(shared.columns, into, merged), rank));
  },
});
