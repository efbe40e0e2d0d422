/**
 * How alike the routes of rows through a mixture of experts are: give the checkpoints of a training in their order, and
 * rows that it trained on. Where to find Grokking in LLM Pretraining? Monitor Memorization-to-Generalization without
 * Test, 2025, https://arxiv.org/abs/2506.21551. `train --probe pathway` tells the same on the way.
 */
import { UserError } from "../../../errors.ts";
import { pathwaysOf, RouteView } from "../../../run/probing/pathways.ts";
import { lookAt, refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "pathway",
  title: "Pathways",
  about: "of a mixture of experts: edit distance of the routes of rows, and consistency from layer to layer",
  cite: "arXiv:2506.21551",
  metrics: [],
  options: {
    pathway_share: {
      type: "0 < number <= 1",
      default: 0.7,
      help: "of the probability, what the experts of a layer on a pathway have together",
    },
    pathway_pairs: {
      type: "number.integer >= 1",
      default: 10_000,
      help: "pairs of rows that are compared, at most",
      value: "N",
    },
    pathway_batch: { type: "number.integer >= 1", default: 8, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check: (info) => refuseMeasures("pathway", info),

  async run(setup) {
    const { pathway_share: share, pathway_pairs: pairs, pathway_batch: size } = setup.values;
    const { seed } = setup;
    const rows = await lookAt(setup, { size }, async ({ model, ref }, batches) => {
      const view = await RouteView.make(model, batches);
      try {
        const { routes, embeddings } = await view.read();
        if (routes.length < 2) throw new UserError("there is one row, and pathways are compared", "give more rows");
        return { model: ref, ...pathwaysOf(routes, embeddings, { share, pairs, seed }) };
      } finally {
        view.free();
      }
    });
    const lines = rows.map((row) => [row.model, row.distance, row.within, row.across, row.inconsistency]);
    return { table: [["model", "distance", "within", "across", "inconsistency"], ...lines], json: { rows } };
  },
});
