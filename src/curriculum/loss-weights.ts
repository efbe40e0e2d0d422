/**
 * Losses of rows that weigh by their own size, on the engine.
 *
 * Weights by loss are those of Sow et al., ICLR 2025 (https://arxiv.org/abs/2502.06733):
 *   h = (2 l - (max + min)) / max(max - min, 1e-6);   linupper min(h + 1, 1), quadratic 1 - h^2, extremes |h|
 *   w = softmax(f / r) over the batch, held fixed;    loss = sum w l,  l the mean loss of a row
 */
import {
  abs,
  add,
  addScalar,
  clamp,
  div,
  exp,
  log,
  maximum,
  minimum,
  mul,
  neg,
  scale,
  square,
  stopGradient,
  sub,
} from "../tensor/ops/elementwise.ts";
import { rowMax, rowSum } from "../tensor/ops/reduce.ts";
import { dynamic, type Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

export type SampleWeight = "uniform" | "linupper" | "quadratic" | "extremes";

/** What `leftOut` holds for a row that takes no part. */
const OUT = -1e30;

/** Values of `leftOut` for rows of which so many tokens count. A batch in which no token counts leaves none out. */
export const leftOutOf = (counted: Float32Array): Float32Array =>
  counted.some((count) => count > 0) ? counted.map((count) => (count > 0 ? 0 : OUT)) : counted.map(() => 0);

/**
 * Weights of rows by their own losses (B), which sum to 1 and take no gradient; the dynamic `inverse_r` is 1 / r.
 * `leftOut` (B) is 0 for rows that take part and `leftOutOf`'s value for rows without a loss: these weigh 0 and do not
 * count in max and min.
 */
export function lossWeights(
  rec: Recorder,
  losses: Tensor,
  leftOut: Tensor,
  kind: Exclude<SampleWeight, "uniform">,
): Tensor {
  const l = stopGradient(rec, losses);
  const rows = l.shape[0]!;
  const most = (x: Tensor) => rec.reshape(rowMax(rec, rec.reshape(add(rec, x, leftOut), [1, rows])), [1]);
  const high = most(l);
  const low = neg(rec, most(neg(rec, l)));
  const constant = (value: number) => rec.constant(Float32Array.of(value), [1], String(value));
  const spread = maximum(rec, sub(rec, high, low), constant(1e-6));
  const h = div(rec, sub(rec, scale(rec, l, 2), add(rec, high, low)), spread);
  const f =
    kind === "linupper"
      ? minimum(rec, addScalar(rec, h, 1), constant(1))
      : kind === "quadratic"
        ? addScalar(rec, neg(rec, square(rec, h)), 1)
        : abs(rec, h);
  const raised = exp(rec, add(rec, scale(rec, sub(rec, f, most(f)), dynamic("inverse_r")), leftOut));
  const sum = rowSum(rec, rec.reshape(raised, [1, rows])); // (1)
  return stopGradient(rec, div(rec, raised, rec.reshape(sum, [1])));
}

/** (1 - exp(-l))^gamma l of every row: (B) -> (B). Lin et al. 2017, https://arxiv.org/abs/1708.02002 */
export function focal(rec: Recorder, losses: Tensor, gamma: number): Tensor {
  if (gamma === 0) return losses;
  const missing = clamp(rec, addScalar(rec, neg(rec, exp(rec, neg(rec, losses))), 1), 1e-12, 1);
  return mul(rec, exp(rec, scale(rec, log(rec, missing), gamma)), losses);
}
