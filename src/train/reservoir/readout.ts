/** The readout of a reservoir: ridge regression of what is to come out on the state, the input and a constant. */

import { UserError } from "../../errors.ts";
import { choleskyFactor, solveLower, solveUpper } from "../../tensor/linear-algebra/cholesky.ts";

/** A row of features: state, input, 1. */
export const featuresOf = (state: ArrayLike<number>, input: readonly number[]): number[] => [
  ...Array.from(state),
  ...input,
  1,
];

/** Fits several targets at once: weights by target. Throws UserError where the features cannot be told apart. */
export function ridgeReadout(
  rows: readonly (readonly number[])[],
  targets: readonly (readonly number[])[],
  lambda: number,
): number[][] {
  const n = rows[0]?.length ?? 0;
  const gram = new Float64Array(n * n);
  for (const row of rows)
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) gram[i * n + j]! += row[i]! * row[j]!;
  for (let i = 0; i < n; i++) {
    gram[i * n + i]! += lambda;
    for (let j = 0; j < i; j++) gram[j * n + i] = gram[i * n + j]!;
  }
  const factor = choleskyFactor(gram, n);
  if (!factor)
    throw new UserError(
      `a readout of ${n} numbers from ${rows.length} steps has no one answer`,
      "give a larger --ridge",
    );
  const outputs = targets[0]?.length ?? 0;
  return Array.from({ length: outputs }, (_, k) => {
    const right = new Float64Array(n);
    for (const [t, row] of rows.entries()) for (let i = 0; i < n; i++) right[i]! += row[i]! * targets[t]![k]!;
    return Array.from(solveUpper(factor, solveLower(factor, right, n), n), Math.fround);
  });
}

export const readOut = (weights: readonly (readonly number[])[], row: readonly number[]): number[] =>
  weights.map((own) => own.reduce((sum, w, i) => sum + w * row[i]!, 0));

/** Root mean square of errors over the deviation of what is wanted, over all outputs. */
export function normalisedError(found: readonly (readonly number[])[], wanted: readonly (readonly number[])[]): number {
  const outputs = wanted[0]?.length ?? 0;
  let [errors, spread] = [0, 0];
  for (let k = 0; k < outputs; k++) {
    const mean = wanted.reduce((sum, row) => sum + row[k]!, 0) / wanted.length;
    for (const [t, row] of wanted.entries()) {
      errors += (found[t]![k]! - row[k]!) ** 2;
      spread += (row[k]! - mean) ** 2;
    }
  }
  return Math.sqrt(errors / spread);
}

/** Squared correlation of two series; 0 where one never changes. */
export function squaredCorrelation(a: readonly number[], b: readonly number[]): number {
  const mean = (x: readonly number[]) => x.reduce((sum, v) => sum + v, 0) / x.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    ab += (x - ma) * (b[i]! - mb);
    aa += (x - ma) ** 2;
    bb += (b[i]! - mb) ** 2;
  }
  return aa > 0 && bb > 0 ? (ab * ab) / (aa * bb) : 0;
}
