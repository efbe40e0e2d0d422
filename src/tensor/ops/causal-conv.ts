/**
 * Depthwise causal convolution over tokens and SiLU, as models with a recurrent state mix neighbouring tokens.
 * Gu & Dao 2023, https://arxiv.org/abs/2312.00752
 */
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { columnSums } from "./reduce.ts";

const BLOCK = 128; // tokens per partial sum of the weights' gradient

/** Where documents lie, and what is left of them from earlier. */
export interface ConvolveOptions {
  readonly batch: number;
  /** (N) i32, from 0 in each document; below 0: padding at the end of a row. */
  readonly positions: Tensor;
  /** Decoding: the last K - 1 tokens (batch, K - 1, C) are read, and replaced by those of x. Forward only. */
  readonly tail?: Tensor | undefined;
  /** silu when left out. */
  readonly activation?: "silu" | "none";
}

/**
 * y_i = silu(sum over m < K of w_m x_(i + m - K + 1)) of every channel, or the sum itself: x (N, C), weight (C, ..., K)
 * -> (N, C). A token sees none of another document.
 */
export function causalConv(rec: Recorder, x: Tensor, weight: Tensor, options: ConvolveOptions): Tensor {
  const { batch, positions, tail, activation = "silu" } = options;
  const plain = activation === "none";
  const { rows: n, width: c } = rowsOf(x);
  const k = sizeOf(weight.shape) / c;
  const t = n / batch;
  if (weight.shape[0] !== c || !Number.isInteger(t) || sizeOf(positions.shape) !== n || weight.dtype !== "f32")
    throw new RangeError(`convolution of ${showShape(x.shape)} in ${batch} rows by ${showShape(weight.shape)}`);
  const count = n * c;
  const groups = spanGroups(count);
  const y = rec.result(x.shape, [x, weight], `convolved ${x.label}`);
  rec.step({
    kernel: "causal-conv/convolve",
    flags: [...(tail ? ["cached"] : []), ...(plain ? ["plain"] : [])],
    bind: { x, weight, positions, y, ...(tail ? { tail } : {}) },
    params: { count, t, c, k },
    groups,
  });
  if (tail && k > 1) {
    const params = { count: batch * c, t, c, before: k - 1 };
    rec.step({
      kernel: "causal-conv/keep-tail",
      bind: { x, positions, tail },
      params,
      groups: foldGroups(Math.ceil((batch * c) / 64)),
    });
  }
  rec.onBackward(y, (dy) => {
    if (tail) throw new Error("a convolution over kept tokens has no way back");
    const d = plain ? dy : rec.scratch(x.shape, "gradient of a convolution's sums");
    if (!plain)
      rec.step({
        kernel: "causal-conv/convolve",
        flags: ["gradient"],
        bind: { x, weight, positions, dy, y: d },
        params: { count, t, c, k },
        groups,
      });
    if (x.needsGrad) {
      const { into, accumulate } = rec.gradient(x);
      rec.step({
        kernel: "causal-conv/input-gradient",
        bind: { d, weight, positions, dx: into },
        params: { count, t, c, k, accumulate },
        groups,
      });
    }
    if (!weight.needsGrad) return;
    const blocks = Math.ceil(n / BLOCK);
    const sums = rec.scratch([blocks, c * k], `blocks of ${weight.label}`);
    rec.step({
      kernel: "causal-conv/weight-gradient",
      bind: { d, x, positions, sums },
      params: { n, t, c, k, rows: BLOCK },
      groups: [Math.ceil(c / 64), blocks],
    });
    columnSums(rec, sums, rec.gradient(weight));
  });
  return y;
}
