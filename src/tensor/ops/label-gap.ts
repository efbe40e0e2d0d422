/** How far other outputs are ahead of a row's label: the negative log-odds of the label. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { logSigmoid, neg } from "./elementwise.ts";
import { rowWork } from "./reduce.ts";

/**
 * logits (N, V), targets (N) i32 -> log sum of exp over the other outputs, less the label's logit (N). The label's
 * probability is sigmoid(-gap), its cross-entropy softplus(gap). Rows with a negative target give -80 and take no
 * gradient. Throws RangeError where there is one output only, or targets are of other rows.
 */
export function labelGap(rec: Recorder, logits: Tensor, targets: Tensor): Tensor {
  const { rows: n, width: v } = rowsOf(logits);
  if (v < 2) throw new RangeError("a label is ahead of other outputs, and there is one output");
  if (sizeOf(targets.shape) !== n) throw new RangeError(`${n} rows of logits for ${showShape(targets.shape)} targets`);
  const gaps = rec.result([n], [logits], "label gaps");
  const lse = rec.scratch([n, 2], "log sums of other logits");
  rec.step({
    kernel: "cross-entropy/label-gap",
    bind: { logits, targets, gaps, lse },
    params: { n, v },
    ...rowWork(rec, n, v),
  });
  rec.onBackward(gaps, (d_gaps) => {
    const { into, accumulate } = rec.gradient(logits);
    rec.step({
      kernel: "cross-entropy/label-gap-gradient",
      bind: { logits, targets, lse, d_gaps, dx: into },
      params: { count: n * v, v, accumulate },
      groups: spanGroups(n * v),
    });
  });
  return gaps;
}

/** log(1 + e^x) */
export const softplus = (rec: Recorder, x: Tensor): Tensor => neg(rec, logSigmoid(rec, neg(rec, x)));
