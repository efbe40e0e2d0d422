/**
 * Whether experts of several tasks have collapsed: how many of their values are 0, and how far apart they are in scale,
 * so that gates follow one of them. HoME 2024, https://arxiv.org/abs/2408.05430
 */
import { viewHome } from "../../../run/tracing/home-experts.ts";
import { lookAt, refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "expert-collapse",
  title: "Collapse of experts",
  about:
    "of experts of several tasks: zero values, mean and deviation of each, and the largest deviation over the least",
  cite: "arXiv:2408.05430",
  metrics: [],
  task: "classifier",
  options: { expert_collapse_batch: { type: "number.integer >= 1", default: 64, help: "rows of a batch", value: "N" } },
  laws: { reproducible: true, companions: true },
  check: (info) => refuseMeasures("expert-collapse", info),

  async run(setup) {
    const rows = await lookAt(setup, { size: setup.values.expert_collapse_batch }, async ({ model, ref }, batches) => {
      const { experts } = await viewHome(model, ref, batches);
      const deviations = experts.map(({ std }) => std);
      return { model: ref, ratio: Math.max(...deviations) / Math.min(...deviations), experts };
    });
    const lines = rows.flatMap(({ model, experts }) =>
      experts.map(({ expert, silent, mean, std }) => [model, expert, silent, mean, std]),
    );
    return { table: [["model", "expert", "zero", "mean", "deviation"], ...lines], json: { rows } };
  },
});
