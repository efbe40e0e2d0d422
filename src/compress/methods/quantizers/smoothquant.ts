/**
 * SmoothQuant: what is hard to round in a layer's inputs is moved into its weights, so that both can be integers of 8
 * bits in use. Xiao et al., ICML 2023, https://arxiv.org/abs/2211.10438
 *
 *   c_j = max |x_j|^alpha / max |w_j|^(1 - alpha)      inputs divided by c, columns multiplied
 *
 * The largest weight of a column is that over all layers which read the input. Weights are then rounded to nearest,
 * symmetric ones such that the largest of a group is a code; rounding what layers read is up to what runs the model.
 */
import { readWeights } from "../../layer.ts";
import { GroupGrids } from "../../nearest-codes.ts";
import { defineInputQuantizer } from "../../quantizer.ts";

/** Keeps factors away from 0. */
const SMALLEST = 1e-5;

export const method = defineInputQuantizer({
  name: "smoothquant",
  title: "SmoothQuant",
  about: "even out what layers read against their weights, for runs in which both are integers",
  cite: "arXiv:2211.10438",
  options: {
    alpha: {
      type: "0 <= number <= 1",
      default: 0.5,
      help: "how much of the inputs' spread goes into the weights: 0 none of it, 1 all",
      value: "A",
    },
  },

  async prepare({ layers, scale }, { alpha }) {
    const [first] = layers;
    const inputs = first?.layer.inputs.largest;
    if (!inputs) return;
    const weights = new Float32Array(inputs.length);
    for (const { layer } of layers) {
      const values = await readWeights(layer);
      for (const [i, w] of values.entries())
        weights[i % weights.length] = Math.max(weights[i % weights.length]!, Math.abs(w));
    }
    // Inputs and columns that are 0 everywhere are left as they are.
    const factors = inputs.map((x, j) =>
      x > 0 && weights[j]! > 0 ? Math.max(SMALLEST, x ** alpha / weights[j]! ** (1 - alpha)) : 1,
    );
    await scale(factors);
  },

  async quantize(layer, scheme) {
    using grids = new GroupGrids(layer, scheme, { absmax: scheme.symmetric && !scheme.levels });
    await grids.fit(layer);
    return grids.codes(layer);
  },
});
