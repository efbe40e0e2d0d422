/** Losses of tokens as losses of rows: a classifier's loss is one of the example, the mean over its tokens. */
import type { Recorded } from "../model/model.ts";
import { mul } from "../tensor/ops/elementwise.ts";
import { rowSum } from "../tensor/ops/reduce.ts";
import type { Recorder } from "../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../tensor/tensor.ts";

/** A loss for every row that the head reads, (rows), of one for every token; padding takes no part in it. */
export function byRow(rec: Recorder, losses: Tensor, { hidden, shares }: Recorded): Tensor {
  const [rows = 0] = hidden.shape;
  const tokens = sizeOf(losses.shape) / rows;
  if (tokens === 1) return rec.reshape(losses, [rows]);
  const grid = rec.reshape(losses, [rows, tokens]);
  return shares ? rowSum(rec, mul(rec, grid, shares)) : rowSum(rec, grid, 1 / tokens);
}
