/** The batch norm of model/blocks/batch-norm.ts, on values that are differentiable twice. */
import type { BatchNorm } from "../../model/blocks/batch-norm.ts";
import { addRow, mul, mulRow, power, shift, sumOver, times } from "../../tensor/twice/ops.ts";
import type { Value } from "../../tensor/twice/value.ts";
import { type Moments, type Passing, type Weights, weightOf } from "./pass.ts";

/** Mean and variance of the columns of rows (n, columns). */
export function momentsOf(x: Value): Moments {
  const [n = 0, columns = 0] = x.shape;
  const meanOf = (of: Value) => times(sumOver(of, [1, n, columns], [columns]), 1 / n);
  const mean = meanOf(x);
  const apart = addRow(x, times(mean, -1));
  return { mean, variance: meanOf(mul(apart, apart)) };
}

/** Rows x (n, columns), normalised by their own moments, or by the running ones. */
export function batchNormed(weights: Weights, { eps }: BatchNorm, module: string, x: Value, passing: Passing): Value {
  const own = passing.norm || passing.norms === "batch" ? momentsOf(x) : undefined;
  if (own) passing.norm?.(module, own);
  const of = (name: string) => weightOf(weights, `${module}.${name}`);
  const running: Moments = { mean: of("running_mean"), variance: of("running_var") };
  const { mean, variance } = passing.norms === "batch" && own ? own : running;
  const scale = mul(of("weight"), power(shift(variance, eps), -0.5));
  return addRow(mulRow(addRow(x, times(mean, -1)), scale), of("bias"));
}
