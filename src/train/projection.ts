/** Gradients of matrices seen in a subspace of their smaller side. */
import { product } from "../tensor/ops/linear.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How a matrix is projected. */
export interface Sides {
  /** Whether rows are projected (they are not more than columns); else columns. */
  readonly left: boolean;
  /** The side that is projected. */
  readonly small: number;
  readonly large: number;
  readonly rank: number;
}

/** `rank` of the smaller side at most. */
export function sidesOf(shape: readonly number[], rank: number): Sides {
  const [m = 1, n = 1] = shape;
  const [small, large] = [Math.min(m, n), Math.max(m, n)];
  return { left: m <= n, small, large, rank: Math.min(rank, small) };
}

/** Shape of a projected matrix. */
export const projectedShape = ({ left, large, rank }: Sides): [number, number] =>
  left ? [rank, large] : [large, rank];

/** (m, n) -> (rank, n) or (m, rank), by a basis (rank, small). */
export function project(rec: Recorder, x: Tensor, basis: Tensor, { left, small, large, rank }: Sides): Tensor {
  const [m, n] = left ? [rank, large] : [large, rank];
  const c = rec.scratch([m, n], `${x.label}, projected`);
  if (left) product(rec, { form: "nn", m, n, k: small, a: basis, b: x, c });
  else product(rec, { form: "nt", m, n, k: small, a: x, b: basis, c });
  return c;
}

/** The other way: (rank, n) or (m, rank) -> (m, n). */
export function lift(rec: Recorder, x: Tensor, basis: Tensor, { left, small, large, rank }: Sides): Tensor {
  const [m, n] = left ? [small, large] : [large, small];
  const c = rec.scratch([m, n], `${x.label}, lifted`);
  if (left) product(rec, { form: "tn", m, n, k: rank, a: basis, b: x, c });
  else product(rec, { form: "nn", m, n, k: rank, a: x, b: basis, c });
  return c;
}

/** Standard normal values times `size`, drawn from numbers in [0, 1). */
export function normalsOf(count: number, size: number, unit: () => number): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = size * Math.sqrt(-2 * Math.log(1 - unit()));
    const angle = 2 * Math.PI * unit();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < count) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}
