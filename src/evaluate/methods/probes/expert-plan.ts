/**
 * How full workers would be that share a mixture's experts, by the rows that its routers send: each expert's rows where
 * it lives, and with what is too much on the least loaded workers. Least-Loaded Expert Parallelism, 2026.
 */
import { UserError } from "../../../errors.ts";
import { imbalance, leastLoadedPlan, staticPlan } from "../../../run/expert-plan.ts";
import { addedLoads } from "../../../run/tracing/expert-loads.ts";
import { checkExpertProbe, loadsOfModels } from "../../expert-probe.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "expert-plan",
  title: "Placement of experts",
  about: "how full workers are that share a mixture's experts, and how much fuller than with rows on the least loaded",
  cite: "Least-Loaded Expert Parallelism, 2026",
  metrics: [],
  options: {
    expert_plan_workers: { type: "number.integer >= 1", default: 4, help: "that share a layer's experts", value: "P" },
    expert_plan_alpha: { type: "number >= 1", default: 1.1, help: "what a worker may hold, over an even part" },
    expert_plan_rows: {
      type: "number.integer >= 1",
      default: 1024,
      help: "fewest rows for which an expert's weights move, unless they are its rest",
      value: "N",
    },
    expert_plan_lambda: {
      type: "number >= 1",
      default: 1.3,
      help: "rows stay where their experts live unless a worker has more than so many times an even part",
    },
    expert_plan_batch: { type: "number.integer >= 1", default: 4, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  check: (info) => checkExpertProbe(info, "expert-plan"),

  async run({ values, ...setup }) {
    const { expert_plan_workers: workers, expert_plan_alpha: alpha, expert_plan_lambda: lambda } = values;
    const found = await loadsOfModels(setup, values.expert_plan_batch);
    const rows = found.map(({ model, layers }) => ({
      model,
      layers: [...layers].map(([layer, loads]) => {
        const counts = [...addedLoads(loads).counts];
        if (counts.length < workers)
          throw new UserError(
            `${model}: layer ${layer} has ${counts.length} experts for ${workers} workers`,
            "lower --expert-plan-workers",
          );
        const plan = leastLoadedPlan(counts, { workers, alpha, lambda, leastRows: values.expert_plan_rows });
        const moved = plan.transfers.reduce((sum, { count }) => sum + count, 0);
        const total = counts.reduce((a, b) => a + b, 0);
        return {
          layer,
          static: imbalance(staticPlan(counts, workers)),
          planned: imbalance(plan),
          loads: plan.loads,
          moved: total === 0 ? 0 : moved / total,
          transfers: plan.transfers.length,
          chunks: plan.chunks,
        };
      }),
    }));
    const header = ["model", "layer", "static", "planned", "rows moved", "weights moved"];
    const lines = rows.flatMap(({ model, layers }) =>
      layers.map((one) => [model, one.layer, one.static, one.planned, one.moved, one.transfers]),
    );
    return { table: [header, ...lines], json: { rows } };
  },
});
