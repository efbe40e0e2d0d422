/** How many weights each layer of a sparse network has, before anything is known of them. */
import type { Options } from "../../method/options.ts";

/** How dense which layer is, and how places are won. */
export const SPARSITY = {
  density: { type: "0 < number <= 1", default: 0.2, value: "D", help: "share of the weights that are there" },
  sparsity_init: {
    type: "'erk' | 'uniform'",
    default: "erk",
    help: "erk: small layers are denser, by Erdos and Renyi's rule; uniform: every layer has the same share",
  },
  grow: {
    type: "'random' | 'gradient' | 'momentum' | 'unfired'",
    default: "random",
    help: "where new weights come: anywhere, at the largest gradient or mean gradient of late, or where none was before",
  },
} as const satisfies Options;

export type SparsityInit = "erk" | "uniform";

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * Weights of each layer, as whole numbers that add up to about density times all; a layer has one at least.
 *
 *   uniform  density N_l
 *   erk      min(1, epsilon (sum of dimensions) / (product of dimensions)) N_l, epsilon so that they add up
 *
 * Mocanu et al. 2018, https://arxiv.org/abs/1707.04780; Evci et al., ICML 2020, https://arxiv.org/abs/1911.11134
 */
export function layerCounts(shapes: readonly (readonly number[])[], density: number, init: SparsityInit): number[] {
  const sizes = shapes.map(sizeOf);
  if (init === "uniform") return sizes.map((size) => Math.max(1, Math.round(density * size)));
  const raw = shapes.map((shape) => shape.reduce((a, b) => a + b, 0) / sizeOf(shape));
  const wanted = density * sizes.reduce((a, b) => a + b, 0);
  const counts = (epsilon: number) => sizes.map((size, l) => Math.min(1, epsilon * raw[l]!) * size);
  let [low, high] = [0, 1 / Math.min(...raw)];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (counts(middle).reduce((a, b) => a + b, 0) < wanted) low = middle;
    else high = middle;
  }
  return counts(high).map((count) => Math.max(1, Math.round(count)));
}
