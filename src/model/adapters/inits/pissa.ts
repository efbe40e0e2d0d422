/**
 * PiSSA: training starts from the principal part of the weight, and what is left of it stays frozen.
 *
 *   W = U S V',  A0 = sqrt(S_r / s) V_r',  B0 = U_r sqrt(S_r / s),  so that s B0 A0 = U_r S_r V_r'
 *
 * Meng, Wang and Zhang, NeurIPS 2024, https://arxiv.org/abs/2404.02948.
 */
import { hostMatrix, transposed } from "../../../tensor/linear-algebra/leading-svd.ts";
import { truncatedSvd } from "../../../tensor/linear-algebra/truncated-svd.ts";
import { adapterInit } from "../adapter-init.ts";

export const method = adapterInit({
  name: "pissa",
  title: "PiSSA",
  about: "the leading singular vectors of the weight; the rest of it stays frozen",
  cite: "arXiv:2404.02948",
  options: {},
  takesOut: true,

  async begin({ weight, rank, scale, gpu }) {
    const { s, left, right } = await truncatedSvd(weight, rank, async () => gpu);
    const rooted = (vectors: typeof left) => {
      const { rows, columns, values } = vectors;
      return hostMatrix(
        rows,
        columns,
        values.map((x, i) => x * Math.sqrt(s[Math.floor(i / columns)]! / scale)),
      );
    };
    return { a: rooted(right), b: transposed(rooted(left)) };
  },
});
