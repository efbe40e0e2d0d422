/** Losses of a margin under labels of which a share is taken to be the wrong way round. */
import { add, neg, scale } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** (1 - share) loss(margin) + share loss(-margin). */
export function smoothed(rec: Recorder, margin: Tensor, share: number, loss: (margin: Tensor) => Tensor): Tensor {
  if (share === 0) return loss(margin);
  return add(rec, scale(rec, loss(margin), 1 - share), scale(rec, loss(neg(rec, margin)), share));
}
