/**
 * Arcee Fusion: take the other model only where its change stands out, by size and by how far its row drifted.
 *
 * Conventions of mergekit's `arcee_fusion` (https://github.com/arcee-ai/mergekit), with three differences: quantiles
 * are exact where mergekit takes those of a random million of a larger tensor's values, divergences are computed
 * without the cancellation that makes mergekit's partly noise, and what is taken are the model's own values, not base +
 * (model - base).
 */

import { UserError } from "../../../errors.ts";
import { foldGroups } from "../../../gpu/grid.ts";
import { mergeMethod } from "../../contract.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { heldValues } from "../../selection/ranked.ts";
import { topCuts } from "../../selection/top-k-selection.ts";

/** Up to this many values it is quicker to sort them on the host than to select on the device. */
const FEW = 4096;

interface Part {
  readonly buffer: GPUBuffer;
  readonly start: number;
  readonly length: number;
}

/** Importance of every value, by chunk, held on the device. One pass. */
async function importances(job: TensorInputs): Promise<Part[]> {
  const kernel = await job.gpu.kernel("merge/row-importance", { flags: job.flags() });
  const parts: Part[] = [];
  await job.each((chunk) => {
    const buffer = job.hold(16 * chunk.n4, "importance");
    const rows = chunk.length / job.columns;
    job.gpu.run(kernel, {
      bind: { stack: chunk.stack, importance: buffer },
      params: { pitch: chunk.pitch, columns: job.columns, rows },
      groups: foldGroups(rows), // one per row
    });
    parts.push({ buffer, start: chunk.start, length: chunk.length });
  });
  return parts;
}

/** The values at these ascending ranks (from 0) of all importances, none of which is negative. */
async function valuesAt(job: TensorInputs, parts: readonly Part[], ranks: readonly number[]): Promise<number[]> {
  if (job.size <= FEW) {
    const read = await Promise.all(parts.map(({ buffer, length }) => job.gpu.readFloats(buffer, length)));
    const sorted = Float32Array.from(read.flatMap((values) => [...values])).sort();
    return ranks.map((rank) => sorted[rank]!);
  }
  const ranked = heldValues(job.size, parts);
  const cuts = await topCuts(
    job,
    ranks.map((rank) => ({ ranked, top: job.size - rank })),
  );
  return [...new Float32Array(new Uint32Array(cuts.map(({ bits }) => bits)).buffer)];
}

/** What an importance must reach: the median plus 1.5 interquartile ranges, each step in f32. */
export function outlierThreshold(lower: number, median: number, upper: number): number {
  return Math.fround(median + Math.fround(1.5 * Math.fround(upper - lower)));
}

export const method = mergeMethod({
  name: "arcee_fusion",
  title: "Arcee Fusion",
  about: "the other model where its change stands out",
  cite: "mergekit",
  laws: {
    equalInputs: true,
    equalModels: "takes only values whose change stands out",
    order: "merges one model",
    baseAtZero: "has no lambda",
    homogeneous: "compares softmaxes of rows",
  },
  models: [1, 1],
  base: "required",
  heights: "common",
  passes: "many",
  scratch: 4,
  options: {},

  /** Two passes; the importances are held in between (4 bytes per value). */
  async merge(job) {
    if (job.count === 0 || job.size === 0) return job.combine(Array<number>(job.count).fill(0), { base: 1 });
    if (!job.wholeRows) {
      throw new UserError(
        `${job.name}: rows of ${job.columns} values are too long for arcee_fusion on this adapter`,
        "merge this tensor with another method",
      );
    }
    const parts = await importances(job);
    const ranks = [0.25, 0.5, 0.75].map((q) => Math.floor(q * (job.size - 1)));
    const [lower = 0, median = 0, upper = 0] = await valuesAt(job, parts, ranks);
    const threshold = outlierThreshold(lower, median, upper);
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/arcee-fusion", { flags: [...job.flags(), ...out] }, chunk, {
        bind: { stack: chunk.stack, importance: parts[chunk.index]!.buffer, result },
        params: { n4: chunk.n4, pitch: chunk.pitch, threshold },
      });
    });
  },
});
