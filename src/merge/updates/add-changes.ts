/**
 * Base plus what models changed: whole where one model alone changed a value, the mean where several did. What `ram`
 * and its variants share; they differ in the factors.
 *
 * "Behavior Knowledge Merge in Reinforced Agentic Models", 2026, https://arxiv.org/abs/2601.13572.
 */
import type { OptionSpec } from "../../method/options.ts";
import type { MergeJob } from "../job/tensor-job.ts";

export const epsilonOption = {
  epsilon: { type: "number >= 0", default: 1e-5, help: "a model changed a value that differs from the base by more" },
} as const satisfies Record<string, OptionSpec>;

/**
 * Writes base + factors[i] d_i where only model i changed a value, base + the mean of the changes elsewhere. One pass.
 */
export async function addChanges(job: MergeJob<{ epsilon: number }>, factors: readonly number[]): Promise<void> {
  const held = job.constants(new Float32Array(factors), "factors");
  await job.emit(async (chunk, result, out) => {
    await job.run("merge/ram", { flags: [...job.flags(), ...out], constants: { K: job.count } }, chunk, {
      bind: { stack: chunk.stack, factors: held, result },
      params: { n4: chunk.n4, pitch: chunk.pitch, epsilon: job.values.epsilon },
    });
  });
}
