/** What a model and its draft have in common at each place: min(p, q) summed over all outputs. */

import { splitColumns } from "../../tensor/ops/columns.ts";
import { minimum } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";

/** (N, V) logits of each, of which one may have outputs that the other lacks -> (N, 1), from 0 to 1. */
export function recordOverlap(rec: Recorder, logits: Tensor, draft: Tensor): Tensor {
  const common = Math.min(rowsOf(logits).width, rowsOf(draft).width);
  const [p, q] = [logits, draft].map((each) => {
    const { width } = rowsOf(each);
    const all = softmax(rec, each);
    return width === common ? all : splitColumns(rec, all, [common, width - common])[0]!;
  });
  return rowSum(rec, minimum(rec, p!, q!));
}
