/**
 * OLoRA: training starts from the first columns of the weight's QR decomposition.
 *
 *   W = Q R,  B0 = Q[:, :r],  A0 = R[:r],  W - s B0 A0 stays frozen
 *
 * Büyükakyüz 2024, https://arxiv.org/abs/2406.01775. Columns of W that depend on those before them are passed over.
 * The diagonal of R is positive here; where LAPACK's is negative, a row of A and a column of B change their signs
 * together. A0 = Q_r' W.
 */
import { hostMatrix, hostProduct, transposed } from "../../../tensor/linear-algebra/leading-svd.ts";
import { rowBasis } from "../../../tensor/linear-algebra/low-rank.ts";
import { adapterInit } from "../adapter-init.ts";

export const method = adapterInit({
  name: "olora",
  title: "OLoRA",
  about: "the first columns of the weight's QR decomposition; the rest of it stays frozen",
  cite: "arXiv:2406.01775",
  options: {},
  takesOut: true,

  begin({ weight, rank }) {
    const w = hostMatrix(weight.rows, weight.columns, Float64Array.from(weight.values));
    const columns = transposed(w);
    const most = Math.min(w.columns, w.rows);
    // Twice as many columns as are wanted, until enough of them are independent.
    for (let count = Math.min(rank, most); ; count = Math.min(2 * count, w.columns)) {
      const first = hostMatrix(count, w.rows, columns.values.subarray(0, count * w.rows));
      const { basis } = rowBasis(first);
      if (basis.rows < Math.min(rank, most) && count < w.columns) continue;
      const kept = Math.min(basis.rows, rank);
      const q = hostMatrix(kept, w.rows, basis.values.slice(0, kept * w.rows));
      return { a: hostProduct(q, w), b: transposed(q) };
    }
  },
});
