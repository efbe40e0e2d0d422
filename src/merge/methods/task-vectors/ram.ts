/**
 * RAM (Reinforced Agent Merging): keep whole what one model alone changed, average what several changed.
 *
 * "Behavior Knowledge Merge in Reinforced Agentic Models", 2026, https://arxiv.org/abs/2601.13572; parameters as mergekit's
 * `ram`.
 */
import type { OptionSpec } from "../../../method/options.ts";
import { mergeMethod } from "../../contract.ts";
import type { MergeJob } from "../../job/tensor-job.ts";

export const epsilonOption = {
  epsilon: { type: "number >= 0", default: 1e-5, help: "a model changed a value that differs from the base by more" },
} as const satisfies Record<string, OptionSpec>;

/** Writes base + factors[i] d_i where only model i changed a value, base + the mean of the changes elsewhere. One pass. */
export async function addChanges(job: MergeJob<{ epsilon: number }>, factors: readonly number[]): Promise<void> {
  const held = job.constants(new Float32Array(factors), "factors");
  await job.emit(async (chunk, result, out) => {
    await job.run("merge/ram", { flags: [...job.flags(), ...out], constants: { K: job.count } }, chunk, {
      bind: { stack: chunk.stack, factors: held, result },
      params: { n4: chunk.n4, pitch: chunk.pitch, epsilon: job.values.epsilon },
    });
  });
}

export const method = mergeMethod({
  name: "ram",
  title: "RAM",
  about: "task vectors whole where one model changed a value, their mean where several did",
  cite: "arXiv:2601.13572",
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
