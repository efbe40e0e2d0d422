/**
 * Whether tasks leave their own experts unused, as those with few rows do: the weight that each task's gate gives to
 * experts of its own, beside its number of rows. HoME 2024, https://arxiv.org/abs/2408.05430
 */
import { viewHome } from "../../../run/tracing/home-experts.ts";
import { lookAt, refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "expert-underfitting",
  title: "Underfitting of experts",
  about: "of experts of single tasks: the weight that their task gives them and those that it shares, and its rows",
  cite: "arXiv:2408.05430",
  metrics: [],
  task: "classifier",
  options: {
    expert_underfitting_batch: { type: "number.integer >= 1", default: 64, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  check: (info) => refuseMeasures("expert-underfitting", info),

  async run(setup) {
    const size = setup.values.expert_underfitting_batch;
    const rows = await lookAt(setup, { size }, async ({ model, ref }, batches) => {
      const { gates } = await viewHome(model, ref, batches);
      const tasks = gates.map(({ task, rows: count, weights }) => {
        const of = (isOwn: boolean) =>
          weights
            .filter(({ expert }) => expert.startsWith("task.own.") === isOwn)
            .reduce((sum, { weight }) => sum + weight, 0);
        return { task, rows: count, own: of(true), shared: of(false) };
      });
      return { model: ref, tasks };
    });
    const lines = rows.flatMap(({ model, tasks }) =>
      tasks.map(({ task, rows: count, own, shared }) => [
        ...[model, setup.groups[task]?.name ?? `${task}`, count],
        ...[own, shared],
      ]),
    );
    return { table: [["model", "task", "rows", "own experts", "shared experts"], ...lines], json: { rows } };
  },
});
