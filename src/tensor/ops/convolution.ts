/**
 * Convolution of images with channels last, by weights as PyTorch stores them, (out, in / groups, rows, columns). LeCun
 * et al. 1989; groups: Krizhevsky et al. 2012.
 *
 * Without groups it is a product of all windows, laid out as rows, with the weight: in memory a window takes rows x
 * columns times what it reads. With groups there are kernels of their own, which keep nothing.
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { showShape, sizeOf, type Tensor } from "../tensor.ts";
import { add } from "./elementwise.ts";
import { linear } from "./linear.ts";
import { columnSums } from "./reduce.ts";
import { type Windows, windowParams } from "./windows.ts";

/** Places per partial sum of a weight's gradient. */
const BLOCK = 256;

/** Every window of x (B, H, W, C) as a row: (B * OH * OW, C * rows * columns), channel by channel. */
export function unfold(rec: Recorder, x: Tensor, windows: Windows): Tensor {
  const { b, params } = windowParams(x, windows);
  const { c, oh, ow, kh, kw } = params;
  const y = rec.result([b * oh * ow, c * kh * kw], [x], `windows of ${x.label}`);
  const count = sizeOf(y.shape);
  rec.step({ kernel: "convolution/unfold", bind: { x, y }, params: { count, ...params }, groups: spanGroups(count) });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    const size = sizeOf(x.shape);
    rec.step({
      kernel: "convolution/fold",
      bind: { dy, dx: into },
      params: { count: size, ...params, accumulate },
      groups: spanGroups(size),
    });
  });
  return y;
}

export interface ConvolutionOptions extends Omit<Windows, "kernel"> {
  /** 1 when left out. */
  readonly groups?: number;
  /** (out) */
  readonly bias?: Tensor;
}

/** x (B, H, W, C), weight (O, C / groups, KH, KW) in f32 -> (B, OH, OW, O). Throws RangeError where they do not fit. */
export function convolution(rec: Recorder, x: Tensor, weight: Tensor, options: ConvolutionOptions = {}): Tensor {
  const { groups = 1, bias, ...rest } = options;
  const [o = 0, share = 0, kh = 0, kw = 0] = weight.shape;
  const [, , , c = 0] = x.shape;
  if (weight.shape.length !== 4 || share * groups !== c || o % groups !== 0 || weight.dtype !== "f32")
    throw new RangeError(
      `${weight.label} ${showShape(weight.shape)} does not apply to ${x.label} ${showShape(x.shape)} in ${groups} groups`,
    );
  const windows: Windows = { ...rest, kernel: [kh, kw] };
  const { b, params } = windowParams(x, windows);
  const { oh, ow } = params;
  if (groups > 1) {
    const y = inGroups(rec, x, weight, windows, groups);
    return bias ? add(rec, y, bias) : y;
  }
  const plain = kh * kw === 1 && oh === params.h && ow === params.w && params.ph + params.pw === 0;
  const rows = plain ? rec.reshape(x, [b * oh * ow, c]) : unfold(rec, x, windows);
  const matrix = rec.reshape(weight, [o, c * kh * kw]);
  return rec.reshape(linear(rec, rows, matrix, bias ? { bias } : {}), [b, oh, ow, o]);
}

function inGroups(rec: Recorder, x: Tensor, weight: Tensor, windows: Windows, groups: number): Tensor {
  const { b, params: own } = windowParams(x, windows);
  const [o = 0] = weight.shape;
  const places = b * own.oh * own.ow;
  const params = { ...own, o, groups };
  const y = rec.result([b, own.oh, own.ow, o], [x, weight], weight.label);
  const count = sizeOf(y.shape);
  rec.step({
    kernel: "convolution/grouped",
    bind: { x, weight, y },
    params: { count, ...params },
    groups: spanGroups(count),
  });
  rec.onBackward(y, (dy) => {
    if (x.needsGrad) {
      const { into, accumulate } = rec.gradient(x);
      const size = sizeOf(x.shape);
      rec.step({
        kernel: "convolution/grouped-input-gradient",
        bind: { dy, weight, dx: into },
        params: { count: size, ...params, accumulate },
        groups: spanGroups(size),
      });
    }
    if (!weight.needsGrad) return;
    const size = sizeOf(weight.shape);
    const blocks = Math.ceil(places / BLOCK);
    const sums = rec.scratch([blocks, size], `blocks of ${weight.label}`);
    rec.step({
      kernel: "convolution/grouped-weight-gradient",
      bind: { dy, x, sums },
      params: { count: size, ...params, places, rows: BLOCK },
      groups: [Math.ceil(size / 64), blocks],
    });
    columnSums(rec, sums, rec.gradient(weight));
  });
  return y;
}
