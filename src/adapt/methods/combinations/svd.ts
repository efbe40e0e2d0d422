/**
 * The weighted sum of the changes, cut to its leading singular directions: the best of its rank. The sum itself is
 * never made, only its thin factors.
 *
 * Source: PEFT's add_weighted_adapter, combination_type svd.
 */
import { svdOfProduct } from "../../../tensor/linear-algebra/low-rank.ts";
import { combineMethod } from "../../contract.ts";
import { asProduct, besides, svdRank } from "../../forms.ts";

export const method = combineMethod({
  name: "svd",
  title: "SVD",
  about: "the weighted sum of the changes, cut by SVD to a rank",
  cite: "https://github.com/huggingface/peft",
  options: { ...svdRank },
  ranks: "chosen",
  async combine({ parts, rank, compat }) {
    const { a, b } = besides(parts, ({ weight, scale }) => (compat ? weight * scale : weight));
    return asProduct(svdOfProduct(b, a, rank));
  },
});
