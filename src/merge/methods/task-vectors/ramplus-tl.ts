/**
 * RAM+ (tensor-local): RAM with what one model alone changed scaled up, the more of its changes it shares with others.
 *
 * "Behavior Knowledge Merge in Reinforced Agentic Models", 2026, https://arxiv.org/abs/2601.13572; parameters as
 * mergekit's `ramplus_tl`, which counts within each tensor.
 */
import { SPAN } from "../../../gpu/grid.ts";
import { mergeMethod } from "../../contract.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { addChanges, epsilonOption } from "../../updates/add-changes.ts";

/** Per model, how many values it changed together with others and alone. One pass; exact. */
export async function countChanges(
  job: TensorInputs<{ epsilon: number }>,
): Promise<{ shared: number; unique: number }[]> {
  const kernel = await job.gpu.kernel("merge/ram-counts", { flags: job.flags(), constants: { K: job.count } });
  const counts = job.task.models.map(() => ({ shared: 0, unique: 0 }));
  await job.reduce(kernel, {
    type: "u32",
    count: ({ n4 }) => 2 * job.count * Math.ceil(n4 / SPAN),
    dispatch: (chunk, partials) => ({
      bind: { stack: chunk.stack, partials },
      params: { n4: chunk.n4, pitch: chunk.pitch, epsilon: job.values.epsilon },
      groups: job.spans(chunk),
    }),
    fold: (partials) => {
      for (let i = 0; i < partials.length; i += 2) {
        const count = counts[(i / 2) % job.count]!;
        count.shared += partials[i]!;
        count.unique += partials[i + 1]!;
      }
    },
  });
  return counts;
}

export const method = mergeMethod({
  name: "ramplus_tl",
  title: "RAM+ (tensor-local)",
  about: "RAM with unshared changes scaled up",
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
  passes: "many",
  options: {
    r: { type: "number", default: 0.1, help: "how much the ratio of shared to unshared changes adds to their scale" },
    alpha: { type: "number >= 0", default: 0.2, help: "largest ratio that counts" },
    ...epsilonOption,
  },

  /** Unshared changes of model i are multiplied by 1 + r min(alpha, shared_i / unique_i). Two passes. */
  async merge(job) {
    if (job.count === 0) return job.combine([], { base: 1 });
    const { r, alpha, epsilon } = job.values;
    const counts = await countChanges(job);
    const ratio = ({ shared, unique }: { shared: number; unique: number }) => shared / Math.max(unique, epsilon);
    await addChanges(
      job,
      // Nothing is scaled where nothing is unshared, so a ratio of 0 / 0 may count as any.
      counts.map((count) => 1 + r * (count.unique === 0 ? alpha : Math.min(alpha, ratio(count)))),
    );
  },
});
