/** Task vectors of one weight as plain f32 values on the GPU, for methods that multiply them as matrices. */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Range } from "../job/chunk-sizes.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";

/**
 * The task vectors of `range`, (K, pitch) one after the other, `pitch` the length rounded up to a multiple of four and
 * padded with zeros. One pass over the chunks of the range. The caller frees it.
 */
export async function gatherTaskVectors(job: TensorInputs, { start, length }: Range): Promise<PooledBuffer> {
  const { gpu, count } = job;
  const pitch = pitchOf(length);
  const held = gpu.buffer(4 * pitch * count, `${job.name} task vectors`);
  gpu.clear(held.buffer, 4 * pitch * count);
  const kernel = await gpu.kernel("merge/task-vector", { flags: job.flags() });
  for (const [index, range] of job.ranges.entries()) {
    const [from, to] = [Math.max(start, range.start), Math.min(start + length, range.start + range.length)];
    if (from >= to) continue;
    await job.visit(index, (chunk) => {
      using part = gpu.buffer(4 * chunk.length, `${job.name} task vector`);
      for (let k = 0; k < count; k++) {
        gpu.run(kernel, {
          bind: { stack: chunk.stack, values: part.buffer },
          params: { n: chunk.length, pitch: chunk.pitch, slot: job.first + k, start: 0 },
          groups: job.spans(chunk),
        });
        const at = 4 * (k * pitch + from - start);
        gpu.copy(part.buffer, 4 * (from - range.start), held.buffer, at, 4 * (to - from));
      }
    });
  }
  return held;
}

/** Values from one task vector to the next. */
export const pitchOf = (length: number): number => 4 * Math.ceil(length / 4);
