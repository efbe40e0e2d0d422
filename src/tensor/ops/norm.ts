/**
 * RMSNorm (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467) and LayerNorm (Ba et al. 2016,
 * https://arxiv.org/abs/1607.06450) over the last dimension, or over groups of it.
 */
import type { Recorder } from "../recorder.ts";
import { expectShape, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { columnSums, rowWork } from "./reduce.ts";

const BLOCK = 128; // groups of values per partial sum of a weight's gradient

interface Normed {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly eps: number;
  readonly layer: boolean;
  /** The gain is 1 + weight. */
  readonly plusOne?: boolean;
}

function normalize(rec: Recorder, { x, weight, bias, eps, layer, plusOne }: Normed): Tensor {
  const [w = 0] = weight.shape;
  const width = x.shape.at(-1) ?? 0;
  if (weight.shape.length !== 1 || width % w !== 0)
    throw new RangeError(`${weight.label} ${showShape(weight.shape)} does not divide ${x.label} ${showShape(x.shape)}`);
  if (bias) expectShape(bias, [w], "norm");
  const n = sizeOf(x.shape) / w;
  const y = rec.result(x.shape, [x, weight, ...(bias ? [bias] : [])], weight.label);
  const saved = rec.scratch([layer ? 2 * n : n], `scales of ${weight.label}`);
  const form = layer ? ["layer"] : [];
  const gain = plusOne ? ["plus_one"] : [];
  const work = rowWork(rec, n, w);
  rec.step({
    kernel: "norm/normalize",
    flags: [...form, ...gain, ...(bias ? ["bias"] : []), ...work.flags],
    bind: { x, weight, ...(bias ? { bias } : {}), y, saved },
    params: { n, w, eps },
    groups: work.groups,
  });
  rec.onBackward(y, (dy) => {
    if (bias?.needsGrad) columnSums(rec, rec.reshape(dy, [n, w]), rec.gradient(bias));
    if (weight.needsGrad) {
      const blocks = Math.ceil(n / BLOCK);
      const sums = rec.scratch([blocks, w], `blocks of ${weight.label}`);
      rec.step({
        kernel: "norm/weight-gradient",
        flags: form,
        bind: { dy, x, saved, sums },
        params: { n, w, rows: BLOCK },
        groups: [Math.ceil(w / 64), blocks],
      });
      columnSums(rec, sums, rec.gradient(weight));
    }
    if (x.needsGrad) {
      const { into, accumulate } = rec.gradient(x);
      rec.step({
        kernel: "norm/normalize-gradient",
        flags: [...form, ...gain, ...work.flags],
        bind: { dy, x, weight, saved, dx: into },
        params: { n, w, accumulate },
        groups: work.groups,
      });
    }
  });
  return y;
}

/**
 * x / sqrt(mean(x^2) + eps) * weight, or * (1 + weight) with `plusOne`. A weight shorter than the last dimension
 * normalises each group of its length.
 */
export const rmsNorm = (
  rec: Recorder,
  x: Tensor,
  weight: Tensor,
  { eps, plusOne = false }: { readonly eps: number; readonly plusOne?: boolean },
): Tensor => normalize(rec, { x, weight, bias: undefined, eps, layer: false, plusOne });

/** (x - mean) / sqrt(variance + eps) * weight + bias. */
export const layerNorm = (
  rec: Recorder,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  { eps }: { readonly eps: number },
): Tensor => normalize(rec, { x, weight, bias, eps, layer: true });
