/**
 * SCE: select the entries in which models differ most, calculate weights from the size of what is left, erase minority
 * signs.
 *
 * Wan et al. (FuseChat), https://arxiv.org/abs/2408.07990; parameters as mergekit's `sce`. Of equal variances the lower
 * index is taken first. With one model nothing varies, so any `select_topk` below 1 gives the base.
 */
import { SPAN } from "../../../gpu/grid.ts";
import { mergeMethod } from "../../contract.ts";
import type { Chunk } from "../../job/chunks.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { ALL, type Cut, heldValues, NONE } from "../../selection/ranked.ts";
import { topCuts } from "../../selection/top-k-selection.ts";

/** Where the mean squares of all models sum to less, models count alike. */
const TINY = 1e-6;

/** The entries of largest variance: variances by chunk, and the smallest that is selected. */
interface Selection {
  readonly variances: readonly GPUBuffer[];
  readonly low: Cut;
}

/** Keeps floor(share * entries that vary). One pass, and those of a selection over f32 values on the device. */
async function selectVarying(job: TensorInputs, share: number): Promise<Selection> {
  const kernel = await job.gpu.kernel("merge/sce-variance", { flags: job.flags(), constants: { K: job.count } });
  const parts: { buffer: GPUBuffer; start: number; length: number }[] = [];
  let varying = 0;
  await job.reduce(kernel, {
    type: "u32",
    count: ({ n4 }) => Math.ceil(n4 / SPAN),
    dispatch: (chunk, counts) => {
      const buffer = job.hold(16 * chunk.n4, "variance");
      parts.push({ buffer, start: chunk.start, length: chunk.length });
      return {
        bind: { stack: chunk.stack, variance: buffer, counts },
        params: { n4: chunk.n4, pitch: chunk.pitch },
        groups: job.spans(chunk),
      };
    },
    fold: (counts) => {
      for (const count of counts) varying += count;
    },
  });
  const top = Math.floor(share * varying);
  const [low = NONE] = await topCuts(job, [{ ranked: heldValues(job.size, parts), top }]);
  return { variances: parts.map(({ buffer }) => buffer), low };
}

const inputs = (chunk: Chunk, selection: Selection | undefined) => ({
  stack: chunk.stack,
  ...(selection && { variance: selection.variances[chunk.index]! }),
});

const sizes = (chunk: Chunk, { low }: { low: Cut } = { low: ALL }) => ({
  ...{ n4: chunk.n4, pitch: chunk.pitch, start: chunk.start },
  ...{ low_bits: low.bits, low_index: low.index },
});

/** Mean squares of the (selected) task vectors as shares of their sum. One pass. */
async function sceWeights(job: TensorInputs, flags: readonly string[], selection?: Selection): Promise<number[]> {
  const kernel = await job.gpu.kernel("merge/sce-squares", { flags, constants: { K: job.count } });
  const means = job.task.models.map(() => 0);
  await job.reduce(kernel, {
    count: ({ n4 }) => job.count * Math.ceil(n4 / SPAN),
    dispatch: (chunk, partials) => ({
      bind: { ...inputs(chunk, selection), partials },
      params: sizes(chunk, selection),
      groups: job.spans(chunk),
    }),
    fold: (partials) => {
      for (const [i, square] of partials.entries()) means[i % job.count]! += square / job.size;
    },
  });
  const sum = means.reduce((a, b) => a + b, 0);
  return means.map((mean) => (sum < TINY ? 1 / job.count : mean / sum));
}

export const method = mergeMethod({
  name: "sce",
  title: "SCE",
  about: "select entries that vary between models, weight models by their size, erase minority signs",
  cite: "arXiv:2408.07990",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  trials: [{}, { select_topk: 0.5 }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "many",
  scratch: 4,
  options: {
    select_topk: { type: "0 <= number <= 1", default: 1, help: "fraction of the varying entries that is merged" },
    int8_mask: { type: "boolean", default: false, help: "accepted for mergekit's sake; masks take one bit here" },
  },

  /** Two passes, and one more with a `select_topk` below 1, which holds the variances (4 bytes per value). */
  async merge(job) {
    if (job.count === 0) return job.combine([], { base: 1 });
    const share = job.values.select_topk;
    const selection = share < 1 ? await selectVarying(job, share) : undefined;
    const flags = job.flags(...(selection ? ["selected"] : []));
    const weights = (await sceWeights(job, flags, selection)).map((weight) => job.roundedToWork(weight));
    const held = job.constants(new Float32Array(weights), "weights");
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/sce", { flags: [...flags, ...out], constants: { K: job.count } }, chunk, {
        bind: { ...inputs(chunk, selection), weights: held, result },
        params: sizes(chunk, selection),
      });
    });
  },
});
