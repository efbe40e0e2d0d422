/** The global norm of gradients, left on the GPU: optimizers clip by it, perturbations walk a distance by it. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

const NORM_VALUES = 16384; // of wgsl/training/square-sums.wgsl

export interface RecordedNorm {
  /** Sums of squares; each gradient has one per 16,384 values. */
  readonly sums: Tensor;
  /** Where the sums of each gradient lie, in their order. */
  readonly ranges: readonly { readonly start: number; readonly count: number }[];
}

/**
 * Records the norm over all `gradients` (f32) into `norm` (3): the norm, the factor that brings it down to `limit`
 * (0: no bound), and whether a norm was not finite, now or before, which makes the factor 0.
 */
export function recordGradientNorm(
  rec: Recorder,
  gradients: readonly Tensor[],
  norm: Tensor,
  limit: StepParam = 0,
): RecordedNorm {
  const ranges: { start: number; count: number }[] = [];
  let total = 0;
  for (const { shape } of gradients) {
    const count = Math.max(1, Math.ceil(sizeOf(shape) / NORM_VALUES));
    ranges.push({ start: total, count });
    total += count;
  }
  const sums = rec.scratch([Math.max(1, total)], "sums of squares");
  for (const [i, gradient] of gradients.entries()) {
    for (const { start, count: n, of } of stretches(rec, sizeOf(gradient.shape)))
      rec.step({
        kernel: "training/square-sums",
        bind: { gradient: of(gradient), sums },
        params: { n, start: ranges[i]!.start + start / NORM_VALUES },
        groups: spanGroups(n, NORM_VALUES),
      });
  }
  rec.step({ kernel: "training/clip-factor", bind: { sums, clip: norm }, params: { n: total, limit }, groups: [1] });
  return { sums, ranges };
}
