/** An update that the host made, added to a model. */
import type { MergeJob } from "../job/tensor-job.ts";

/** Writes the first input (the base, if there is one) + lambda update. One pass. */
export async function addUpdate(job: MergeJob, update: Float32Array, lambda: number): Promise<void> {
  await job.emit(async (chunk, result, out) => {
    const part = new Float32Array(4 * chunk.n4);
    part.set(update.subarray(chunk.start, chunk.start + chunk.length));
    using held = job.gpu.upload(part, `${job.name} update`);
    await job.run("merge/add-update", { flags: [...job.flags(), ...out] }, chunk, {
      bind: { stack: chunk.stack, update: held.buffer, result },
      params: { n4: chunk.n4, lambda },
    });
  });
}
