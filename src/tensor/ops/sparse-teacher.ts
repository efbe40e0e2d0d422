/** Student logits as a sparse teacher sees them: the teacher's top k, and everything else in one bucket. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

/**
 * logits (N, V), ids (N, K) i32 ascending in every row -> (N, K + 1): the logits at the ids, then the log-sum-exp of
 * all others (-1e30 when K = V). A softmax over the result gives the probabilities of the K and the mass of the rest,
 * so every divergence of rows of logits works on it.
 */
export function buckets(rec: Recorder, logits: Tensor, ids: Tensor): Tensor {
  const { rows: n, width: v } = rowsOf(logits);
  const { rows, width: k } = rowsOf(ids);
  if (rows !== n || sizeOf(ids.shape) !== n * k || k > v)
    throw new RangeError(`${showShape(ids.shape)} ids for ${showShape(logits.shape)} logits`);
  const y = rec.result([n, k + 1], [logits], "buckets");
  rec.step({ kernel: "sparse-teacher/buckets", bind: { logits, ids, y }, params: { n, v, k }, ...rowWork(rec, n, v) });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(logits);
    rec.step({
      kernel: "sparse-teacher/buckets-gradient",
      bind: { logits, ids, y, dy, dx: into },
      params: { count: n * v, v, k, accumulate },
      groups: spanGroups(n * v),
    });
  });
  return y;
}
