/**
 * Ridge regression in closed form, both ways between few rows and many, on values that are differentiable twice.
 *
 *   K(a, b) = phi(a) phi(b)^T, phi what the head of a model reads
 *   forward   |y_few - K(few, many) (K(many, many) + beta I)^-1 y_many|^2    a model of the many foretells the few
 *   backward  |y_many - K(many, few) (K(few, few) + beta I)^-1 y_few|^2      a model of the few foretells the many
 *
 * Both as means over rows. beta is relative: it is multiplied by the mean of the kernel's diagonal.
 */
import { inverse } from "../../tensor/twice/inverse.ts";
import { add, matmul, mul, sub, sum, times } from "../../tensor/twice/ops.ts";
import { constant, type Value } from "../../tensor/twice/value.ts";

const diagonal = (size: number, value: number): Value =>
  constant(
    Float64Array.from({ length: size ** 2 }, (_, i) => (i % (size + 1) === 0 ? value : 0)),
    [size, size],
  );

/** Squared distance, as a mean over rows (n, c). */
export const rowError = (a: Value, b: Value): Value => {
  const apart = sub(a, b);
  return times(sum(mul(apart, apart)), 1 / a.shape[0]!);
};

/** What beta is relative to. */
const scaleOf = (phi: Value): number => phi.data.reduce((total, x) => total + x * x, 0) / phi.shape[0]!;

/**
 * Weights W (d, c) of a ridge regression on rows phi (n, d): phi W foretells y. The same as by the kernel, through a
 * matrix of d x d.
 */
export function ridgeWeights(phi: Value, y: Value, beta: number): Value {
  const own = add(matmul(phi, phi, { ta: true }), diagonal(phi.shape[1]!, beta * scaleOf(phi)));
  return matmul(inverse(own), matmul(phi, y, { ta: true }));
}

/** How badly a model of the few foretells the many; the few have gradients, beta's scale has none. */
export function backwardError(few: Value, yFew: Value, many: Value, yMany: Value, beta: number): Value {
  const kernel = add(matmul(few, few, { tb: true }), diagonal(few.shape[0]!, beta * scaleOf(few)));
  const answers = matmul(matmul(many, few, { tb: true }), matmul(inverse(kernel), yFew));
  return rowError(answers, yMany);
}
