/**
 * How alike the routes of rows through a mixture of experts are, and how consistent from layer to layer: both go on to
 * fall after the training loss has flattened, while a model comes to generalise. Where to find Grokking in LLM
 * Pretraining? Monitor Memorization-to-Generalization without Test, 2025, https://arxiv.org/abs/2506.21551
 */
import { pathwaysOf, RouteView } from "../../../run/probing/pathways.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW } from "../../training-probe.ts";

export const method = defineTrainingProbe({
  name: "pathway",
  title: "Pathways",
  about: "of a mixture of experts: edit distance of the routes of rows, and consistency from layer to layer",
  cite: "arXiv:2506.21551",
  options: {
    pathway_share: {
      type: "0 < number <= 1",
      default: 0.7,
      decides: "nothing",
      help: "of the probability, what the experts of a layer on a pathway have together",
    },
    pathway_pairs: {
      type: "number.integer >= 1",
      default: 2000,
      decides: "nothing",
      help: "pairs of rows that are compared, at most",
      value: "N",
    },
  },
  laws: EVERY_PROBE_LAW,

  async begin({ model, batches, seed, values: { pathway_share: share, pathway_pairs: pairs } }) {
    const view = await RouteView.make(model, batches);
    return {
      bytes: view.bytes,
      async look() {
        const { routes, embeddings } = await view.read();
        return { numbers: { ...pathwaysOf(routes, embeddings, { share, pairs, seed }) } };
      },
      free: () => view.free(),
    };
  },
});
