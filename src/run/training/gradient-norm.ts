/** The global norm of gradients, left on the GPU: optimizers clip by it, perturbations walk a distance by it. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder, StepParam } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import { sizeOf, type Tensor, viewOf } from "../../tensor/tensor.ts";

const NORM_VALUES = 16384; // of wgsl/training/square-sums.wgsl

/** Values that a view of a gradient begins at a multiple of: 256 bytes. */
const VIEW_VALUES = 64;

/**
 * A gradient, whole or in pages. Each of its equal parts (1 when left out) is summed alone, so that a norm has the same
 * bits wherever the parts lie.
 */
export type SummedGradient =
  | Tensor
  | { readonly whole: Tensor; readonly parts: number }
  | { readonly pages: readonly Tensor[] };

/** A part of a gradient: values of a tensor from `first` on. */
interface Part {
  readonly tensor: Tensor;
  readonly first: number;
  readonly count: number;
}

function partsOf(gradient: SummedGradient): Part[] {
  if ("pages" in gradient) return gradient.pages.map((tensor) => ({ tensor, first: 0, count: sizeOf(tensor.shape) }));
  const { whole: tensor, parts } = "whole" in gradient ? gradient : { whole: gradient, parts: 1 };
  const count = sizeOf(tensor.shape) / parts;
  return Array.from({ length: parts }, (_, i) => ({ tensor, first: i * count, count }));
}

export interface RecordedNorm {
  /** Sums of squares; each part of a gradient has one per 16,384 values. */
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
  gradients: readonly SummedGradient[],
  norm: Tensor,
  limit: StepParam = 0,
): RecordedNorm {
  const ranges: { start: number; count: number }[] = [];
  let total = 0;
  const parts = gradients.map(partsOf);
  const sumsOf = ({ count }: Part) => Math.max(1, Math.ceil(count / NORM_VALUES));
  for (const own of parts) {
    const count = own.reduce((sum, part) => sum + sumsOf(part), 0);
    ranges.push({ start: total, count });
    total += count;
  }
  const sums = rec.scratch([Math.max(1, total)], "sums of squares");
  let into = 0;
  for (const part of parts.flat()) {
    for (const { start, count: n } of stretches(rec, part.count)) {
      const at = part.first + start;
      const begin = at - (at % VIEW_VALUES);
      const isAll = begin === 0 && n === sizeOf(part.tensor.shape);
      rec.step({
        kernel: "training/square-sums",
        bind: { gradient: isAll ? part.tensor : viewOf(part.tensor, begin, [n + at - begin]), sums },
        params: { n, start: into + start / NORM_VALUES, first: at - begin },
        groups: spanGroups(n, NORM_VALUES),
      });
    }
    into += sumsOf(part);
  }
  rec.step({ kernel: "training/clip-factor", bind: { sums, clip: norm }, params: { n: total, limit }, groups: [1] });
  return { sums, ranges };
}
