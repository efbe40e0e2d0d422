/**
 * The sparsifier of DELLA (MagPrune): drop entries of each task vector at random, small ones more often than large ones.
 *
 * Deep et al., 2024, https://arxiv.org/abs/2406.11617; chances as mergekit's `della`: linear in the rank of the magnitude within
 * the row (a vector is one row), from density - epsilon for the smallest to density + epsilon for the largest. Rows run along
 * the last axis, of tensors with more than two axes too.
 */

import { UserError } from "../../errors.ts";
import type { OptionSpec } from "../../method/options.ts";
import { spanGroups } from "../../tensor/load.ts";
import type { Chunk } from "../job/chunks.ts";
import { randomKey } from "../job/random-key.ts";
import type { MergeJob } from "../job/tensor-job.ts";
import { dense, type Sparsifier } from "./task-vectors.ts";

export const epsilonOption = {
  epsilon: { type: "number >= 0", per: "model", default: 0.15, help: "how far chances go below and above the density" },
} as const satisfies Record<string, OptionSpec>;

interface Values {
  readonly density: readonly number[];
  readonly epsilon: readonly number[];
}

/** Scratch for sorting rows a batch at a time: many, to fill a GPU; few, to stay in the cache of a processor. */
const BATCH_BYTES = { gpu: 32 << 20, cpu: 2 << 20 };

const ONE = 2 ** 24;

/** Chance of the smallest entry of a row, in 2^-24, and what each rank adds. */
export function chances(density: number, epsilon: number, columns: number): { lowest: number; step: number } {
  if (columns === 1) return { lowest: Math.round(density * ONE), step: 0 };
  return { lowest: Math.round((density - epsilon) * ONE), step: (2 * epsilon * ONE) / (columns - 1) };
}

function check(job: MergeJob<Values>): void {
  for (const [k, density] of job.values.density.entries()) {
    const epsilon = job.values.epsilon[k]!;
    if (density <= 0 || density >= 1 || (density - epsilon > 0 && density + epsilon < 1)) continue;
    throw new UserError(
      `${job.name}: density ${density} -/+ epsilon ${epsilon} of model ${k + 1} does not lie between 0 and 1`,
      "give a smaller epsilon, or density 1 to keep everything",
    );
  }
  if (!job.wholeRows) {
    throw new UserError(
      `${job.name}: rows of ${job.columns} values are too long to be ranked on this adapter`,
      "merge this tensor with another method, or give it density 1",
    );
  }
}

async function drawMasks(job: MergeJob<Values>, masks: GPUBuffer, pitch: number): Promise<void> {
  const { gpu, columns } = job;
  const fill = await gpu.kernel("merge/fill-masks");
  const draw = await gpu.kernel("merge/rank-masks", { flags: job.flags() });
  const drawn: number[] = [];
  for (const [k, density] of job.values.density.entries()) {
    if (density > 0 && density < 1) drawn.push(k);
    const n4 = pitch / 4;
    const value = density >= 1 ? 0xffffffff : 0;
    gpu.run(fill, { bind: { masks }, params: { n4, first: k * n4, value }, groups: spanGroups(n4) });
  }
  const padded = 2 ** Math.ceil(Math.log2(columns));
  const batch = Math.max(1, Math.floor(BATCH_BYTES[gpu.adapter.type === "cpu" ? "cpu" : "gpu"] / (8 * padded)));
  await job.each((chunk: Chunk) => {
    const rows = chunk.length / columns;
    using pairs = gpu.buffer(8 * padded * Math.min(batch, rows), `${job.name} ranks`);
    for (const k of drawn) {
      const [key_x, key_y] = randomKey(job.settings.seed, job.name, job.task.modelIndex[k]!);
      for (let row = 0; row < rows; row += batch) {
        const taken = Math.min(batch, rows - row);
        gpu.run(draw, {
          bind: { stack: chunk.stack, pairs: pairs.buffer, masks },
          params: {
            ...{ pitch: chunk.pitch, slot: job.first + k, columns, padded, first_row: row, rows: taken },
            ...{ start: chunk.start, mask: k * pitch, key_x, key_y },
            ...chances(job.values.density[k]!, job.values.epsilon[k]!, columns),
          },
          // One workgroup per row, folded over y.
          groups: [Math.min(taken, 65535), Math.ceil(taken / 65535)],
        });
      }
    }
  });
}

/** Keeps each entry with its chance. One pass; a bit per value and model, and at most 32 MiB to sort in (or one row, if longer). */
export const ranked: Sparsifier<Values> = async (job) => {
  const { density } = job.values;
  if (job.size === 0 || density.every((share) => share >= 1)) return dense(job);
  check(job);
  const pitch = Math.ceil(job.size / 128) * 4;
  const bytes = 4 * pitch * job.count;
  const limit = job.gpu.adapter.limits.maxStorageBufferBindingSize ?? 2 ** 27;
  if (bytes > limit) {
    throw new UserError(
      `${job.name}: masks of ${job.size} values for ${job.count} models exceed this adapter's largest binding (${limit} bytes)`,
      "merge fewer models at a time, or give this tensor density 1",
    );
  }
  const masks = job.hold(bytes, "masks");
  await drawMasks(job, masks, pitch);
  return {
    flag: "by_mask",
    models: density.map((share) => ({ empty: share <= 0 })),
    masks: { buffer: masks, pitch },
  };
};
