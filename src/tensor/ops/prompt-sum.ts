/** What rows begin with, as one vector that stays while they are written on. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, type Tensor } from "../tensor.ts";

/**
 * x (B * T, C) and positions (B * T) i32, below 0 of padding -> `sums` (B, C), a state: the sum of the tokens of a row
 * whose first one stands at position 0, else what it held. Without a way back.
 */
export function promptSum(rec: Recorder, x: Tensor, sums: Tensor, positions: Tensor): Tensor {
  const { rows, width: c } = rowsOf(x);
  const batch = sums.shape[0] ?? 1;
  expectShape(sums, [batch, c], "sums of prompts");
  expectShape(positions, [rows], "positions of prompts");
  rec.step({
    kernel: "embedding/prompt-sum",
    bind: { x, positions, sums },
    params: { count: batch * c, t: rows / batch, c },
    groups: spanGroups(batch * c),
  });
  return sums;
}
