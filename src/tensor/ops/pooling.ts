/** Pooling of images with channels last, each channel for itself, as PyTorch's MaxPool2d and AvgPool2d. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { scale, sumTo } from "./elementwise.ts";
import { type Windows, windowParams } from "./windows.ts";

function pooled(rec: Recorder, x: Tensor, windows: Windows, flags: readonly string[]): Tensor {
  const { b, params } = windowParams(x, windows);
  const { kh, kw, ph, pw } = params;
  if (2 * ph > kh || 2 * pw > kw)
    throw new RangeError(`${x.label}: windows of ${kh} x ${kw} may lie beyond an edge of ${ph} and ${pw}`);
  const y = rec.result([b, params.oh, params.ow, params.c], [x], `pooled ${x.label}`);
  const count = sizeOf(y.shape);
  rec.step({ kernel: "pooling/pool", flags, bind: { x, y }, params: { count, ...params }, groups: spanGroups(count) });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    const size = sizeOf(x.shape);
    rec.step({
      kernel: "pooling/pool-gradient",
      flags,
      bind: { dy, dx: into, ...(flags.length > 0 ? {} : { x }) },
      params: { count: size, ...params, accumulate },
      groups: spanGroups(size),
    });
  });
  return y;
}

/** The largest value of every window; places beyond the edge do not count. (B, H, W, C) -> (B, OH, OW, C) */
export const maxPool = (rec: Recorder, x: Tensor, windows: Windows): Tensor => pooled(rec, x, windows, []);

/** The mean of every window, in which places beyond the edge count as 0. (B, H, W, C) -> (B, OH, OW, C) */
export const averagePool = (rec: Recorder, x: Tensor, windows: Windows): Tensor => pooled(rec, x, windows, ["average"]);

/** The mean over all places of an image: (B, H, W, C) -> (B, C). */
export function globalAverage(rec: Recorder, x: Tensor): Tensor {
  const [b = 0, h = 0, w = 0, c = 0] = x.shape;
  const sums = sumTo(rec, rec.reshape(x, [b, h * w, c]), [b, 1, c]);
  return scale(rec, rec.reshape(sums, [b, c]), 1 / (h * w));
}
