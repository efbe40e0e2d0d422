/** Images as rows of patches (Dosovitskiy et al., ICLR 2021, https://arxiv.org/abs/2010.11929). */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { showShape, type Tensor } from "../tensor.ts";

/** (B, C, H, W) -> (B * H/size * W/size, C * size^2). Images take no gradient. */
export function patches(rec: Recorder, x: Tensor, { size }: { readonly size: number }): Tensor {
  const [b = 0, c = 0, h = 0, w = 0] = x.shape;
  if (x.shape.length !== 4 || h % size !== 0 || w % size !== 0)
    throw new RangeError(`images of ${showShape(x.shape)} do not divide into patches of ${size}`);
  if (x.needsGrad) throw new Error("images take no gradient");
  const count = b * c * h * w;
  const y = rec.scratch([count / (c * size * size), c * size * size], "patches");
  rec.step({ kernel: "patch/patches", bind: { x, y }, params: { count, c, h, w, size }, groups: spanGroups(count) });
  return y;
}
