/**
 * How the values of hidden states and the gradients there grow with depth, and how far single values stand out. Where
 * norms stand decides both: Kim et al., Peri-LN: Revisiting Layer Normalization in the Transformer Architecture, 2025,
 * https://arxiv.org/abs/2502.02732. `train --probe activations` tells the same on the way.
 */
import { LayerView } from "../../../run/probing/layer-view.ts";
import { growthOf } from "../../../run/probing/variance-growth.ts";
import { lookAt, refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "variance-growth",
  title: "Variance growth",
  about: "variance, massive activations and gradient norm of every layer",
  cite: "arXiv:2502.02732",
  metrics: [],
  options: {
    variance_growth_rows: {
      type: "number.integer >= 1",
      default: 256,
      help: "tokens or examples of a layer whose variance and median are read, evenly spread; the largest is of all",
      value: "N",
    },
    variance_growth_batch: { type: "number.integer >= 1", default: 2, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check: (info) => refuseMeasures("variance-growth", info),

  async run(setup) {
    const { variance_growth_rows: most, variance_growth_batch: size } = setup.values;
    const rows = await lookAt(setup, { size, trained: true }, async ({ model, ref }, batches) => {
      const view = await LayerView.make(model, batches, { rows: most, gradients: true });
      try {
        return { model: ref, ...growthOf(await view.read()) };
      } finally {
        view.free();
      }
    });
    const table = rows.flatMap(({ model, layers, ...all }) => [
      ...layers.map((own) => [model, own.layer, own.variance, own.largest, own.massive, own.gradient]),
      [model, "growth", all.variance_growth, undefined, all.massive, all.gradient_spread],
    ]);
    return { table: [["model", "layer", "variance", "largest", "massive", "gradient"], ...table], json: { rows } };
  },
});
