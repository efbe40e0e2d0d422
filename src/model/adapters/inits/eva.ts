/**
 * EVA: A begins with the principal components of what the layer reads in the training data, B zero, and ranks go to
 * the layers whose components explain the most of their inputs' variance.
 *
 *   X - mean = U S V',  xi_i = S_i^2 / sum S^2,  the `rank x layers` largest xi of all layers are kept,
 *   A = the layer's first components, one row each
 *
 * Paischer et al. 2024, https://arxiv.org/abs/2410.07170. The rows are measured as a whole, so that no component waits
 * to converge. alpha follows a layer's rank, so that the scale is that of LoRA.
 */
import { hostMatrix } from "../../../tensor/linear-algebra/leading-svd.ts";
import { inputInit } from "../adapter-init.ts";

export const method = inputInit({
  name: "eva",
  title: "EVA",
  about: "the principal components of what the layer reads in the data; ranks go where they explain most",
  cite: "arXiv:2410.07170",
  options: {
    eva_rows: { type: "number.integer >= 1", default: 256, help: "rows of the training data that are measured" },
    eva_rho: { type: "number >= 1", default: 2, help: "a layer's largest rank over --lora-rank; 1: all keep theirs" },
    eva_whiten: { type: "boolean", default: false, help: "divide each row of A by the root of its singular value" },
  },

  asks: (rank, { eva_rows, eva_rho }) => ({ rows: eva_rows, components: Math.round(rank * eva_rho) }),

  plan({ layers, rank, values: { eva_whiten } }) {
    const all = layers.flatMap(({ s, total }, layer) =>
      [...s].map((x) => ({ layer, share: total === 0 ? 0 : x ** 2 / total })),
    );
    // Layers that read the same tie, and the first of them comes first.
    all.sort((one, other) => other.share - one.share || one.layer - other.layer);
    const ranks = layers.map(() => 0);
    for (const { layer } of all.slice(0, rank * layers.length)) ranks[layer]!++;
    return new Map(
      layers.flatMap(({ module, s, components: { columns, values } }, layer) => {
        const own = ranks[layer]!;
        if (own === 0) return [];
        const rows = values.slice(0, own * columns);
        if (eva_whiten) for (let i = 0; i < rows.length; i++) rows[i]! /= Math.sqrt(s[Math.floor(i / columns)]!);
        return [[module, { a: hostMatrix(own, columns, rows) }] as const];
      }),
    );
  },
});
