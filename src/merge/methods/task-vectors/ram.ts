/**
 * RAM (Reinforced Agent Merging): keep whole what one model alone changed, average what several changed.
 *
 * "Behavior Knowledge Merge in Reinforced Agentic Models", 2026, https://arxiv.org/abs/2601.13572; parameters as
 * mergekit's `ram`.
 */
import { mergeMethod } from "../../contract.ts";
import { addChanges, epsilonOption } from "../../updates/add-changes.ts";

export const method = mergeMethod({
  name: "ram",
  title: "RAM",
  about: "task vectors whole where one model changed a value, their mean where several did",
  cite: "arXiv:2601.13572",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: "epsilon is an absolute size",
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "one",
  options: epsilonOption,

  /** One pass; no memory besides the inputs. */
  async merge(job) {
    if (job.count === 0) return job.combine([], { base: 1 });
    await addChanges(
      job,
      job.task.models.map(() => 1),
    );
  },
});
