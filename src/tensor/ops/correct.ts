/** Which rows of logits have their largest at the label. */
import type { Recorder } from "../recorder.ts";
import { rowsOf, type Tensor } from "../tensor.ts";
import { gather } from "./gather.ts";
import { chosenExperts } from "./router.ts";

/** 1 where the first of the largest logits is that of the target, else 0: (N, V), (N) i32 -> (N). No gradient. */
export function correctRows(rec: Recorder, logits: Tensor, targets: Tensor): Tensor {
  const { rows: n } = rowsOf(logits);
  const ones = rec.constant(new Float32Array(n).fill(1), [n, 1], "ones");
  return rec.reshape(gather(rec, chosenExperts(rec, logits, 1, ones), rec.reshape(targets, [n, 1])), [n]);
}
