/**
 * Whether experts that several tasks share serve one of them alone: what weight each task's gate gives them. HoME 2024,
 * https://arxiv.org/abs/2408.05430
 */
import { viewHome } from "../../../run/tracing/home-experts.ts";
import { lookAt, refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "expert-degradation",
  title: "Degradation of experts",
  about: "of experts that tasks share: the weight that each task gives them, and how much of it is that of one task",
  cite: "arXiv:2408.05430",
  metrics: [],
  task: "classifier",
  options: {
    expert_degradation_batch: { type: "number.integer >= 1", default: 64, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  check: (info) => refuseMeasures("expert-degradation", info),

  async run(setup) {
    const size = setup.values.expert_degradation_batch;
    const rows = await lookAt(setup, { size }, async ({ model, ref }, batches) => {
      const { gates } = await viewHome(model, ref, batches);
      const names = [...new Set(gates.flatMap(({ weights }) => weights.map(({ expert }) => expert)))];
      const experts = names.flatMap((expert) => {
        const seen = gates.flatMap(({ task, weights }) => {
          const own = weights.find((one) => one.expert === expert);
          return own ? [{ task, weight: own.weight }] : [];
        });
        if (seen.length < 2) return [];
        const shares = seen.map(({ weight }) => weight);
        const all = shares.reduce((a, b) => a + b, 0);
        return [{ expert, tasks: seen.map(({ task }) => task), shares, most: Math.max(...shares) / all }];
      });
      return { model: ref, experts };
    });
    const lines = rows.flatMap(({ model, experts }) =>
      experts.flatMap(({ expert, tasks, shares, most }) =>
        tasks.map((task, i) => [model, expert, setup.groups[task]?.name ?? `${task}`, shares[i], most]),
      ),
    );
    return { table: [["model", "expert", "task", "weight", "most of one task"], ...lines], json: { rows } };
  },
});
