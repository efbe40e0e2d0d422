/** Images as rows of patches (Dosovitskiy et al., ICLR 2021, https://arxiv.org/abs/2010.11929). */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { showShape, type Tensor } from "../tensor.ts";

/** (B, C, H, W) -> (B * H/size * W/size, C * size^2). */
export function patches(rec: Recorder, x: Tensor, { size }: { readonly size: number }): Tensor {
  const [b = 0, c = 0, h = 0, w = 0] = x.shape;
  if (x.shape.length !== 4 || h % size !== 0 || w % size !== 0)
    throw new RangeError(`images of ${showShape(x.shape)} do not divide into patches of ${size}`);
  const count = b * c * h * w;
  const y = rec.result([count / (c * size * size), c * size * size], [x], "patches");
  const params = { count, c, h, w, size };
  rec.step({ kernel: "patch/patches", bind: { x, y }, params, groups: spanGroups(count) });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    rec.step({
      kernel: "patch/patches-gradient",
      bind: { dy, dx: into },
      params: { ...params, accumulate },
      groups: spanGroups(count),
    });
  });
  return y;
}
