/** Inverses of many small matrices. */
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, sizeOf, type Tensor } from "../tensor.ts";

/**
 * (E, N, N) -> (E, N, N), without pivots: of matrices whose symmetric part is positive definite, such as I + Q of a
 * skew Q.
 */
export function inverse(rec: Recorder, x: Tensor): Tensor {
  const [blocks = 0, n = 0] = x.shape;
  expectShape(x, [blocks, n, n], "inverse");
  const y = rec.result(x.shape, [x], `inverse of ${x.label}`);
  const work = rec.scratch(x.shape, `elimination of ${x.label}`);
  rec.step({ kernel: "blocks/inverse", bind: { x, work, y }, params: { blocks, n }, groups: foldGroups(blocks) });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    const count = sizeOf(x.shape);
    rec.step({
      kernel: "blocks/inverse-gradient",
      bind: { y, dy, dx: into },
      params: { count, n, accumulate },
      groups: spanGroups(count),
    });
  });
  return y;
}
