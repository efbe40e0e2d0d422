/**
 * Low-rank factors of several experts, of which rows take some: one grouped product for all experts, never a loop over
 * them.
 *
 *   routedFactors   the experts of each row's slots alone (rows sorted by expert, as those of moe.ts)
 *   mixedFactors    every expert for every row, by weights that may be 0: two products of all factors side by side,
 *                   for weights through which gradients go to experts that count nothing
 */
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, type Tensor } from "../tensor.ts";
import { mul, scale as times } from "./elementwise.ts";
import { linear } from "./linear.ts";
import { combine, dispatch, groupedLinear } from "./moe.ts";
import type { RoutePlan } from "./router.ts";

/** A (K, r, in) and B (K, r, out) of K experts. */
export interface ExpertFactors {
  readonly a: Tensor;
  readonly b: Tensor;
}

/** How factors are put together. */
export interface FactorOptions {
  /** Multiplies what the experts give; 1 when left out. */
  readonly scale?: number;
  /** (N, out): what their sum is added to. */
  readonly add?: Tensor;
}

/** Throws RangeError unless both have the same K and r, and A the width of x. */
function sizesOf({ a, b }: ExpertFactors, x: Tensor) {
  const [experts = 0, rank = 0] = a.shape;
  const out = b.shape[2] ?? 0;
  expectShape(a, [experts, rank, rowsOf(x).width], "A of experts");
  expectShape(b, [experts, rank, out], "B of experts");
  return { experts, rank, out };
}

/**
 * Rows x (N, in), weights (N, k) of each row's k experts -> (N, out): the sum of scale w B^T A x over them, plus `add`.
 * Memory: a row of `out` and one of `in` for every slot.
 */
export function routedFactors(
  rec: Recorder,
  x: Tensor,
  factors: ExpertFactors,
  { weights, plan }: { readonly weights: Tensor; readonly plan: RoutePlan },
  { scale = 1, add }: FactorOptions = {},
): Tensor {
  sizesOf(factors, x);
  const low = groupedLinear(rec, dispatch(rec, x, plan), factors.a, plan); // (N k, r)
  const ys = groupedLinear(rec, low, factors.b, plan, { transposed: true }); // (N k, out)
  return combine(rec, ys, scale === 1 ? weights : times(rec, weights, scale), plan, add ? { add } : {});
}

/**
 * Rows x (N, in), weights (N, K), or (1, K) of all rows -> (N, out): the sum of scale w_k B_k^T f(A_k x) over all
 * experts, plus `add`; f is `bend`, the identity when left out. Memory: K r values a row, three times.
 */
export function mixedFactors(
  rec: Recorder,
  x: Tensor,
  factors: ExpertFactors,
  weights: Tensor,
  { scale = 1, add, bend }: FactorOptions & { readonly bend?: (rec: Recorder, low: Tensor) => Tensor } = {},
): Tensor {
  const { experts, rank, out } = sizesOf(factors, x);
  const { rows, width } = rowsOf(x);
  const straight = linear(rec, x, rec.reshape(factors.a, [experts * rank, width])); // (N, K r)
  const low = bend ? bend(rec, straight) : straight;
  const own = rowsOf(weights).rows;
  const weighed = mul(
    rec,
    rec.reshape(low, [rows, experts, rank]),
    rec.reshape(weights, [own, experts, 1]), // (N, K, 1)
  );
  const all = rec.reshape(factors.b, [experts * rank, out]);
  const options = { transposed: true, scale, ...(add ? { add } : {}) };
  return linear(rec, rec.reshape(weighed, [rows, experts * rank]), all, options);
}
