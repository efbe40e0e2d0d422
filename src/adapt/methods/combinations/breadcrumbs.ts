/**
 * Model Breadcrumbs on whole changes: drop the largest values of each as outliers and the smallest as noise, add what
 * is between, and keep the leading singular directions.
 *
 * Davari and Belilovsky, ECCV 2024, https://arxiv.org/abs/2312.06795, equations 3 to 5: masks by layer. The counts are
 * those of the merge method of this name: floor(gamma n) dropped at the top, floor(density n) kept below them.
 */
import { combineMethod } from "../../contract.ts";
import { asProduct, changeOf, svdRank } from "../../forms.ts";
import { keepLargest, weightedSum } from "../../tensor-formulas.ts";

/** Values without the `top` largest, of which the `kept` largest stay. */
function between(values: Float64Array, top: number, kept: number): Float64Array {
  const outliers = keepLargest(values, top);
  return keepLargest(values, top + kept).map((value, i) => (value === outliers[i] ? 0 : value));
}

export const method = combineMethod({
  name: "breadcrumbs",
  title: "Model Breadcrumbs",
  about: "whole changes without their largest and smallest values, in a weighted sum cut by SVD",
  cite: "arXiv:2312.06795",
  options: {
    density: { type: "0 <= number <= 1", default: 0.9, help: "fraction of each change's values that is kept" },
    gamma: { type: "0 <= number <= 1", default: 0.01, help: "fraction of each change's values dropped at the top" },
    ...svdRank,
  },
  ranks: "chosen",
  whole: true,
  async combine({ parts, out, into, rank, values: { density, gamma }, compat, svd }) {
    const size = out * into;
    const kept = Math.floor(density * size);
    const top = Math.min(Math.floor(gamma * size), size - kept);
    const weights = parts.map(({ weight, scale }) => (compat ? weight * scale : weight));
    const merged = weightedSum(
      parts.map((part) => between(changeOf(part), top, kept)),
      weights,
    );
    return asProduct(await svd({ rows: out, columns: into, values: merged }, rank));
  },
});
