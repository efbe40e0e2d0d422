/**
 * Whether a load-balancing loss is low for the wrong reason: E sum of f p is 1 where either the loads f or the mean
 * probabilities p are even, and with few of many experts per token the lowest layers make p even while f stays uneven.
 * Sigma-MoE-Tiny Technical Report 2025, https://arxiv.org/abs/2512.16248
 *
 *   d_f  max |E f - 1|
 *   d_p  max |E p - 1|; near 0 beside a large d_f is the sign of it
 */
import { addedLoads, loadFigures } from "../../../run/tracing/expert-loads.ts";
import { checkExpertProbe, loadsOfModels } from "../../expert-probe.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "lbl-gap",
  title: "Gap of the load-balancing loss",
  about: "whether a mixture's loads are uneven behind even probabilities, layer by layer",
  cite: "arXiv:2512.16248",
  metrics: [],
  options: {
    lbl_gap_batch: { type: "number.integer >= 1", default: 4, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  check: (info) => checkExpertProbe(info, "lbl-gap"),

  async run({ values, ...setup }) {
    const found = await loadsOfModels(setup, values.lbl_gap_batch);
    const rows = found.map(({ model, layers }) => ({
      model,
      layers: [...layers].map(([layer, loads]) => {
        const { loadGap, likelyGap, balance } = loadFigures(addedLoads(loads));
        return { layer, d_f: loadGap, d_p: likelyGap, balance_loss: balance };
      }),
    }));
    const table = rows.flatMap(({ model, layers }) =>
      layers.map(({ layer, d_f, d_p, balance_loss }) => [model, String(layer), d_f, d_p, balance_loss]),
    );
    return { table: [["model", "layer", "d_f", "d_p", "balance_loss"], ...table], json: { rows } };
  },
});
