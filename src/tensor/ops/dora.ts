/**
 * What DoRA needs besides LoRA: lengths of the rows of the changed weight, and a scale per output.
 * https://arxiv.org/abs/2402.09353
 */
import { foldGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowParts } from "../stretches.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./elementwise.ts";

/**
 * Lengths (O) of the rows of W + scale B A: W (O, I), or (I, O) when transposed; A (R, I), B (O, R). No gradient goes
 * through.
 */
export function rowNorm(
  rec: Recorder,
  w: Tensor,
  {
    a,
    b,
    scale,
    transposed = false,
  }: { readonly a: Tensor; readonly b: Tensor; readonly scale: number; readonly transposed?: boolean },
): Tensor {
  const [r = 0, i = 0] = a.shape;
  const [o = 0] = b.shape;
  const y = rec.scratch([o], `row lengths of ${w.label}`);
  const flags = [...(w.dtype === "bf16" ? ["weight_bf16"] : []), ...(transposed ? ["transposed"] : [])];
  let first = 0;
  for (const part of rowParts(rec, w)) {
    const count = part.shape[0]!;
    const accumulate = transposed && first > 0 ? 1 : 0;
    rec.step({
      ...{ kernel: "dora/row-norm", flags, bind: { w: part, a, b, y } },
      params: { o, i, r, scale, first, count, accumulate },
      groups: foldGroups(transposed ? o : count),
    });
    first += count;
  }
  return y;
}

/** x (N, O) times s (O). */
export const scaleColumns = (rec: Recorder, x: Tensor, s: Tensor): Tensor => mul(rec, x, s);
