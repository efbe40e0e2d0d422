/**
 * Fisher-weighted averaging: each value of each model counts as much as that model's diagonal Fisher information says.
 *
 * Matena and Raffel, NeurIPS 2022, https://arxiv.org/abs/2111.09832. The Fisher information of every model is read from
 * a checkpoint of statistics with the names and shapes of the model (`stats`), as `evaluate --probe fisher` writes it.
 * Where any model lacks statistics for a tensor, that tensor is the plain average. With `balance` a model counts in
 * inverse proportion to the norm of its statistics over all tensors, so that large gradients do not outvote the others.
 */

import type { TensorEntry } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import { SPAN, spanGroups } from "../../../gpu/grid.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import {
  type ExtraCheckpoints,
  type ExtraStack,
  loadExtra,
  openExtraCheckpoints,
} from "../../job/extra-checkpoints.ts";
import { reduceParts } from "../../job/reduce.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";

const options = {
  stats: {
    type: "string",
    per: "model",
    required: true,
    value: "FILE",
    names: "own-checkpoint",
    help: "the model's diagonal Fisher information, as a checkpoint",
  },
  weight: { type: "number >= 0", per: "model", default: 1, help: "share of each model beside its statistics" },
  floor: { type: "number >= 0", default: 1e-6, help: "added to every statistic" },
  balance: { type: "boolean", default: true, help: "divide each model's statistics by their norm over all tensors" },
} as const;

type Inputs = TensorInputs<MergeValues<typeof options>>;

interface Survey extends Disposable {
  readonly checkpoints: ExtraCheckpoints;
  /** l2 norm of the statistics over all tensors, by reference. */
  readonly norms: ReadonlyMap<string, number>;
}

/** The statistics of every model for this tensor, or undefined when one lacks them. */
function statisticsOf(inputs: Inputs, checkpoints: ExtraCheckpoints): TensorEntry[] | undefined {
  const found = inputs.values.stats.map((ref, k) => checkpoints.find(inputs, k, ref));
  return found.every((entry) => entry !== undefined) ? found : undefined;
}

/** Sum of squares of each entry. One pass over the statistics; partial sums are f32 over spans, added in f64. */
async function squares(inputs: Inputs, entries: readonly TensorEntry[]): Promise<number[]> {
  const sums = entries.map(() => 0);
  const ranges = async (visit: (part: { n4: number; side: ExtraStack }) => void) => {
    for (const range of inputs.ranges) {
      using side = await loadExtra(inputs, range, entries);
      visit({ n4: Math.ceil(range.length / 4), side });
    }
  };
  await reduceParts(inputs.gpu, inputs.name, await inputs.gpu.kernel("merge/squares"), ranges, {
    runs: entries.length,
    count: ({ n4 }) => Math.ceil(n4 / SPAN),
    dispatch: ({ n4, side }, partials, slot) => ({
      bind: { stack: side.buffer, partials },
      params: { n4, pitch: side.pitch, slot },
      groups: spanGroups(n4),
    }),
    fold: (partials, _, slot) => {
      for (const partial of partials) sums[slot]! += partial;
    },
  });
  return sums;
}

/** Opens the statistics and, if models are to be balanced, measures them. */
async function survey(tensors: readonly Inputs[]): Promise<Survey> {
  const checkpoints = await openExtraCheckpoints(
    tensors.flatMap(({ values }) => values.stats),
    "statistics",
  );
  try {
    const sums = new Map<string, number>();
    let matched = 0;
    for (const inputs of tensors) {
      const entries = statisticsOf(inputs, checkpoints);
      if (!entries) continue;
      matched += 1;
      if (!inputs.values.balance) continue;
      for (const [k, square] of (await squares(inputs, entries)).entries()) {
        const ref = inputs.values.stats[k]!;
        if (inputs.values.stats.indexOf(ref) < k) continue; // one file for several models is measured once
        sums.set(ref, (sums.get(ref) ?? 0) + square);
      }
    }
    if (matched === 0 && tensors.length > 0) {
      throw new UserError(
        `No tensor has statistics in all of ${[...new Set(tensors[0]!.values.stats)].join(", ")}`,
        "write those of each model with bun run evaluate MODEL --probe fisher --fisher-save FILE",
      );
    }
    for (const { ref, name } of checkpoints.unused())
      tensors[0]?.settings.remark?.(`${ref} has statistics of what is not merged`, name);
    const norms = new Map([...sums].map(([ref, sum]) => [ref, Math.sqrt(sum)]));
    return { checkpoints, norms, [Symbol.dispose]: () => checkpoints[Symbol.dispose]() };
  } catch (error) {
    checkpoints[Symbol.dispose]();
    throw error;
  }
}

/** Shares of the models, the largest 1, so that products with small statistics stay within f32. */
export function fisherShares(weight: readonly number[], norms: readonly number[] | undefined): number[] {
  const shares = weight.map((w, k) => (norms && norms[k]! > 0 ? w / norms[k]! : w));
  const largest = Math.max(...shares);
  return largest > 0 ? shares.map((share) => share / largest) : shares;
}

export const method = mergeMethod({
  name: "fisher",
  title: "Fisher-weighted averaging",
  about: "average weighted value by value by each model's Fisher information",
  cite: "arXiv:2111.09832",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "knows no base",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "none",
  heights: "equal",
  passes: "one",
  options,
  survey,

  /** sum_k g_k x_k / sum_k g_k, g_k = weight_k / norm_k (F_k + floor). One pass over models and statistics. */
  async merge(job) {
    const { checkpoints, norms } = job.survey;
    const { stats, weight, balance, floor } = job.values;
    const total = weight.reduce((a, b) => a + b, 0);
    if (total === 0) throw new UserError(`${job.name}: the weights sum to 0`, "give other weights");
    const entries = statisticsOf(job, checkpoints);
    if (!entries) {
      job.settings.remark?.("averaged plainly, since not every model has statistics of it", job.name);
      return job.combine(weight, { divisor: total });
    }
    const shares = fisherShares(weight, balance ? stats.map((ref) => norms.get(ref) ?? 0) : undefined);
    const held = job.constants(new Float32Array(shares), "shares");
    await job.emit(async (chunk, result, out) => {
      using side = await loadExtra(job, chunk, entries);
      await job.run("merge/fisher", { flags: [...job.flags(), ...out] }, chunk, {
        bind: { stack: chunk.stack, statistics: side.buffer, shares: held, result },
        params: { n4: chunk.n4, pitch: chunk.pitch, statistics_pitch: side.pitch, k: job.count, floor },
      });
    });
  },
});
