/** The step y <- a x + b y over all values, `a` and `b` numbers of the run. */
import { spanGroups } from "../../gpu/grid.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

/** Records it for tensors of one shape. With `norm` (3), of gradient-norm.ts, x is divided by the norm first. */
export function recordAddScaled(rec: Recorder, x: Tensor, y: Tensor, norm?: Tensor): void {
  for (const { count: n, of } of stretches(rec, sizeOf(x.shape)))
    rec.step({
      kernel: "training/add-scaled",
      flags: norm ? ["by_norm"] : [],
      bind: { x: of(x), ...(norm ? { norm } : {}), y: of(y) },
      params: { n, a: dynamic("a"), b: dynamic("b") },
      groups: spanGroups(n),
    });
}
