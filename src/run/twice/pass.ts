/** What layers on values that are differentiable twice share: weights by name, and what a pass is asked for. */
import { addRow, matmul } from "../../tensor/twice/ops.ts";
import type { Value } from "../../tensor/twice/value.ts";

export type Weights = ReadonlyMap<string, Value>;

/** Mean and variance of a layer's columns, (columns) each. */
export interface Moments {
  readonly mean: Value;
  readonly variance: Value;
}

export interface Passing {
  /** What rows are normalised by; "running" when left out. */
  readonly norms?: "batch" | "running";
  /** Hears what a batch norm reads: its module, and the moments over rows and places. */
  norm?(module: string, own: Moments): void;
  /** Hears what a layer gives, (n, numbers). */
  layer?(index: number, x: Value): void;
}

/** Rows (n, in) through a linear layer of the weights. */
export const linear = (weights: Weights, module: string, x: Value): Value =>
  addRow(matmul(x, weightOf(weights, `${module}.weight`), { tb: true }), weightOf(weights, `${module}.bias`));

export function weightOf(weights: Weights, name: string): Value {
  const found = weights.get(name);
  if (!found) throw new RangeError(`there is no weight ${name}`);
  return found;
}
