/**
 * What keeps the experts of a mixture evenly used: counts of the slots that go to each, the load-balancing loss, and a
 * loss of the router's logits. Fedus et al. 2021, https://arxiv.org/abs/2101.03961; Demons in the Detail 2025,
 * https://arxiv.org/abs/2501.11873; Zoph et al. 2022, https://arxiv.org/abs/2202.08906
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { addScalar, div, maximum, scale, square, sub, sumTo } from "./elementwise.ts";
import { dot, rowSum, sum } from "./reduce.ts";
import { logSoftmax } from "./softmax.ts";

const SPAN = 64; // tokens that a lane of wgsl/moe/load.wgsl walks

/**
 * Slots of every expert: experts (N, k) u32 of tokens, marks (N), 1 where a token counts -> (rows, E), of `rows`
 * sequences of one length that follow one another. Takes no gradient.
 */
export function expertLoad(
  rec: Recorder,
  expertOf: Tensor,
  marks: Tensor,
  { experts: e, rows = 1 }: { readonly experts: number; readonly rows?: number },
): Tensor {
  const [n = 0, k = 0] = expertOf.shape;
  if (n % rows !== 0) throw new RangeError(`${n} tokens are not ${rows} sequences of one length`);
  const length = n / rows;
  const per = Math.max(1, Math.ceil(length / SPAN));
  const counts = rec.scratch([rows, per, e], "slots of experts by block");
  const count = rows * per * e;
  rec.step({
    kernel: "moe/load",
    bind: { experts: expertOf, marks, counts },
    params: { count, e, k, length, per, span: SPAN },
    groups: spanGroups(count, 64),
  });
  return rec.reshape(per === 1 ? counts : sumTo(rec, counts, [rows, 1, e]), [rows, e]);
}

/** Loads (rows, E) -> each over its part of the row's sum, less 1: (rows, E), 0 at balance, E - 1 alone. */
export function excessLoad(rec: Recorder, loads: Tensor): Tensor {
  const [rows = 0, e = 0] = loads.shape;
  const one = rec.constant(Float32Array.of(1), [1], "one");
  const whole = rec.reshape(maximum(rec, rowSum(rec, loads), one), [rows, 1]);
  return addScalar(rec, scale(rec, div(rec, loads, whole), e), -1);
}

/**
 * Load-balancing loss E sum of f_i p_i: (1), 1 at balance. Router logits (N, E); `excess` (rows, E) is E f_i - 1, a
 * constant, of one row for all tokens or of a row for each sequence; `weights` (N) sum to 1, and p_i is the mean
 * probability under them. `sigmoid`: probabilities are sigmoids over their sum. Implementations that do not divide f
 * by k give k times as much.
 */
export function balanceLoss(
  rec: Recorder,
  logits: Tensor,
  { excess, weights, sigmoid = false }: { excess: Tensor; weights: Tensor; sigmoid?: boolean },
): Tensor {
  const [n = 0, e = 0] = logits.shape;
  const [rows = 0] = excess.shape;
  expectShape(excess, [rows, e], "load balance");
  const length = n / rows;
  const y = rec.result([n], [logits], "imbalance of tokens");
  const norm = rec.scratch([n], "log sums of router scores");
  const flags = sigmoid ? ["sigmoid"] : [];
  rec.step({
    kernel: "moe/balance",
    flags,
    bind: { logits, excess, weights, norm, y },
    params: { n, e, length },
    groups: spanGroups(n, 64),
  });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(logits);
    rec.step({
      kernel: "moe/balance-gradient",
      flags,
      bind: { logits, excess, weights, norm, y, dy, d_logits: into },
      params: { count: n * e, e, length, accumulate },
      groups: spanGroups(n * e),
    });
  });
  return addScalar(rec, sum(rec, y), 1);
}

/** The z-loss of a router: mean of the squared log of the sum of exp(logits), (N, E) under weights (N) -> (1). */
export function routerZLoss(rec: Recorder, logits: Tensor, weights: Tensor): Tensor {
  const [n = 0, e = 0] = logits.shape;
  const lse = rowSum(rec, sub(rec, logits, logSoftmax(rec, logits)), 1 / e); // (N)
  return dot(rec, square(rec, lse), rec.reshape(weights, [n]));
}
