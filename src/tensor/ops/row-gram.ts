/** Inner products of the vectors that each row holds, such as one for each layer of a model. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { showShape, type Tensor } from "../tensor.ts";

/** x (N, M, C) -> (N, M, M): every vector of a row times every one. */
export function rowGram(rec: Recorder, x: Tensor): Tensor {
  const [n = 0, m = 0, c = 0, ...more] = x.shape;
  if (x.shape.length !== 3 || more.length > 0)
    throw new RangeError(`inner products of ${x.label} ${showShape(x.shape)}, which is no (rows, vectors, values)`);
  const y = rec.result([n, m, m], [x], `inner products of ${x.label}`);
  const [count, size] = [n * m * m, n * m * c];
  rec.step({
    kernel: "row-gram/inner-products",
    bind: { x, products: y },
    params: { count, m, c },
    groups: spanGroups(count),
  });
  rec.onBackward(y, (d) => {
    const { into, accumulate } = rec.gradient(x);
    rec.step({
      kernel: "row-gram/product-gradient",
      bind: { x, d, dx: into },
      params: { count: size, m, c, accumulate },
      groups: spanGroups(size),
    });
  });
  return y;
}
