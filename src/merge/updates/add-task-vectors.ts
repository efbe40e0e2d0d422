/**
 * Base plus multiples of task vectors, all of each or a random part: the closed-form methods differ only in the
 * multiples.
 *
 * Values in which a model agrees with the base keep their bits, and so does a whole tensor that is only one of the
 * inputs.
 */
import type { MergeJob } from "../job/tensor-job.ts";

/** Share of a task vector: `plain` of all entries, and `kept` of those that are drawn with probability `density`. */
export interface Term {
  readonly plain: number;
  readonly kept?: number;
  readonly density?: number;
  readonly key?: readonly [number, number];
}

/** Words of `Term` in wgsl/merge/add-task-vectors.wgsl. */
const WORDS = 5;

function packTerms(terms: readonly Term[]): Uint8Array {
  const data = new DataView(new ArrayBuffer(4 * WORDS * terms.length));
  for (const [k, { plain, kept = 0, density = 1, key = [0, 0] }] of terms.entries()) {
    const at = 4 * WORDS * k;
    data.setFloat32(at, plain, true);
    data.setFloat32(at + 4, kept, true);
    data.setUint32(at + 8, key[0] >>> 0, true);
    data.setUint32(at + 12, key[1] >>> 0, true);
    data.setUint32(at + 16, Math.round(density * 2 ** 24), true);
  }
  return new Uint8Array(data.buffer);
}

/**
 * Writes one input as it is: its bytes where the output has their type, its values otherwise. `model` -1 is the base.
 */
export async function takeInput(job: MergeJob, model: number): Promise<void> {
  const entry = model < 0 ? job.task.base : job.task.models[model];
  if (!entry) throw new RangeError(`${job.name}: no input ${model}`);
  if (job.copies(entry)) return job.copy(entry);
  await job.combine(
    job.task.models.map((_, k) => (k === model ? 1 : 0)),
    { base: model < 0 ? 1 : 0 },
  );
}

/**
 * Writes baseScale * base + sum_k terms[k] (x_k - base). One pass; needs a base, and one term per model. A result that
 * is one of the inputs is copied.
 */
export async function addTaskVectors(job: MergeJob, terms: readonly Term[], baseScale = 1): Promise<void> {
  if (!job.hasBase) throw new RangeError(`${job.name}: task vectors need a base`);
  if (baseScale === 1 && terms.every(({ kept = 0 }) => kept === 0)) {
    const used = terms.flatMap(({ plain }, k) => (plain === 0 ? [] : [k]));
    if (used.length === 0) return takeInput(job, -1);
    if (used.length === 1 && terms[used[0]!]!.plain === 1) return takeInput(job, used[0]!);
  }
  const held = job.constants(packTerms(terms), "terms");
  const drawn = terms.some(({ kept = 0 }) => kept !== 0) ? ["drawn"] : [];
  await job.emit(async (chunk, result, out) => {
    await job.run("merge/add-task-vectors", { flags: [...job.flags(), ...drawn, ...out] }, chunk, {
      bind: { stack: chunk.stack, terms: held, result },
      params: { n4: chunk.n4, pitch: chunk.pitch, k: job.count, start: chunk.start, base_scale: baseScale },
    });
  });
}
