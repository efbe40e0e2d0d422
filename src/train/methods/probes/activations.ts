/**
 * What every layer holds: the variance of its values, how far the largest stands out of the median (massive
 * activations, Sun et al. 2024, https://arxiv.org/abs/2402.17762), and the norm of the gradient there. Where norms
 * stand decides how these grow with depth: Kim et al. 2025, https://arxiv.org/abs/2502.02732
 */
import { LayerView } from "../../../run/probing/layer-view.ts";
import { growthOf } from "../../../run/probing/variance-growth.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW } from "../../training-probe.ts";

export const method = defineTrainingProbe({
  name: "activations",
  title: "Activations",
  about: "variance, massive activations and gradient norm of every layer",
  cite: "arXiv:2502.02732",
  options: {
    activations_rows: {
      type: "number.integer >= 1",
      default: 256,
      decides: "nothing",
      help: "tokens or examples of a layer whose variance and median are read, evenly spread; the largest is of all",
      value: "N",
    },
  },
  laws: { ...EVERY_PROBE_LAW, anyBatching: "which tokens are read depends on the batches, where not all are" },

  async begin({ model, batches, values: { activations_rows: rows } }) {
    const view = await LayerView.make(model, batches, { rows, gradients: true });
    return {
      bytes: view.bytes,
      async look() {
        const { layers, ...numbers } = growthOf(await view.read());
        return { numbers, parts: layers.map(({ layer, ...own }) => ({ part: layer, ...own })) };
      },
      free: () => view.free(),
    };
  },
});
