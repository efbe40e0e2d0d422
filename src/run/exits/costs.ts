/** What it costs to come to a layer of a classifier: the share of its multiplications. */
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** Linear heads read one row an example, not one a token: without attention scores, a product with a matrix counts. */
export interface LayerCosts {
  /** Layers of the model. */
  readonly layers: number;
  /** Share of the multiplications until the end of each layer, and of the whole model: 1. */
  readonly shares: readonly number[];
}

/**
 * By the sizes of the matrices that a token goes through; attention scores, norms and tables that are looked up do not
 * count. Throws UserError for convolutions, whose matrices are used in many places.
 */
export function layerCosts(model: Model): LayerCosts {
  const { layers } = model.sizes;
  const matrices = model.specs.filter(({ shape, table }) => shape.length > 1 && !table);
  const odd = matrices.find(({ shape, name }) => shape.length > 2 && layerOf(name));
  if (odd)
    throw new UserError(
      `${odd.name} is no matrix that a row meets once, so what a layer costs is not known`,
      "exits are for transformers and perceptrons",
    );
  const inLayer = new Float64Array(layers);
  let [before, after] = [0, 0];
  const last = matrices.findLastIndex(({ name }) => layerOf(name));
  for (const [i, { name, shape }] of matrices.entries()) {
    const layer = layerOf(name)?.index;
    if (layer !== undefined && layer < layers) inLayer[layer]! += sizeOf(shape);
    else if (i < last) before += sizeOf(shape);
    else after += sizeOf(shape);
  }
  const total = before + after + inLayer.reduce((a, b) => a + b, 0);
  let sum = before;
  const shares = Array.from(inLayer, (size) => {
    sum += size;
    return sum / total;
  });
  return { layers, shares: [...shares.slice(0, -1), shares.at(-1) ?? 1, 1] };
}
