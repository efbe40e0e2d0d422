/** The inverse of a symmetric positive definite matrix, differentiable twice: d(A^-1) = -A^-1 dA A^-1. */
import { symmetricInverse } from "../linear-algebra/cholesky.ts";
import { matmul, times } from "./ops.ts";
import { result, type Value } from "./value.ts";

/** (n, n) -> (n, n). Its gradient takes it that the matrix is symmetric. Throws RangeError where it has no inverse. */
export function inverse(a: Value): Value {
  const n = a.shape[0]!;
  const data = symmetricInverse(a.data, n);
  if (!data) throw new RangeError(`the matrix of ${n} rows is not positive definite`);
  const made: Value = result(data, [n, n], [a], [(g) => times(matmul(matmul(made, g), made), -1)]);
  return made;
}
