/**
 * How many directions hidden states fill: the exponential of the entropy of their singular values. Roy and Vetterli,
 * The Effective Rank: A Measure of Effective Dimensionality, EUSIPCO 2007
 */

import { ranksOf } from "../../../run/probing/layer-statistics.ts";
import { FEATURES, LayerView } from "../../../run/probing/layer-view.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW } from "../../training-probe.ts";

export const method = defineTrainingProbe({
  name: "effective-rank",
  title: "Effective rank",
  about: "directions that hidden states and features fill, by their singular values",
  cite: "Roy and Vetterli 2007",
  options: {
    effective_rank_rows: {
      type: "number.integer >= 2",
      default: 128,
      decides: "nothing",
      help: "tokens or examples of a layer that are read, evenly spread; a rank is no larger",
      value: "N",
    },
  },
  laws: { ...EVERY_PROBE_LAW, anyBatching: "which tokens are read depends on the batches, where not all are" },

  async begin({ model, batches, values: { effective_rank_rows: rows } }) {
    const view = await LayerView.make(model, batches, { rows });
    return {
      bytes: view.bytes,
      async look() {
        const seen = await view.read();
        const parts = seen.map(({ layer, values, width }) => {
          const { effective, stable } = ranksOf(values, width);
          return { part: layer, effective, stable };
        });
        const { effective, stable } = parts.find(({ part }) => part === FEATURES)!;
        return { numbers: { effective, stable }, parts };
      },
      free: () => view.free(),
    };
  },
});
