/** RegMean by its definition, in float64: Gram matrices of rows, and normal equations solved by elimination. */

/** X^T X / rows of (rows, side). */
export function gramOf(x: ArrayLike<number>, side: number): Float32Array {
  const rows = x.length / side;
  return Float32Array.from({ length: side * side }, (_, at) => {
    let sum = 0;
    for (let r = 0; r < rows; r++) sum += x[r * side + (at % side)]! * x[r * side + Math.floor(at / side)]!;
    return sum / rows;
  });
}

/** Solves a x = b for symmetric a by elimination with pivots. */
function eliminated(a: number[][], b: number[]): number[] {
  const n = b.length;
  const m = a.map((row, i) => [...row, b[i]!]);
  for (let c = 0; c < n; c++) {
    let p = c;
    for (let r = c; r < n; r++) if (Math.abs(m[r]![c]!) > Math.abs(m[p]![c]!)) p = r;
    [m[c], m[p]] = [m[p]!, m[c]!];
    for (let r = 0; r < n; r++) {
      const f = r === c ? 0 : m[r]![c]! / m[c]![c]!;
      if (f !== 0) for (let k = c; k <= n; k++) m[r]![k]! -= f * m[c]![k]!;
    }
  }
  return m.map((row, i) => row[n]! / row[i]!);
}

/** W = (sum_k w_k W_k G_k) (sum_k w_k G_k)^-1, off-diagonal entries of G_k times `reduce`. */
export function reference(
  models: readonly ArrayLike<number>[],
  grams: readonly ArrayLike<number>[],
  side: number,
  given: { reduce: number; weights?: number[] },
) {
  const weights = given.weights ?? grams.map(() => 1);
  const of = (k: number, i: number, j: number) => weights[k]! * grams[k]![i * side + j]! * (i === j ? 1 : given.reduce);
  const each = Array.from({ length: side }, (_, i) => i);
  const all = (i: number, j: number) => models.reduce((sum: number, _, k) => sum + of(k, i, j), 0);
  const a = each.map((i) => each.map((j) => all(i, j)));
  const rows = models[0]!.length / side;
  return Float64Array.from(
    Array.from({ length: rows }, (_, r) =>
      eliminated(
        a,
        each.map((j) =>
          models.reduce(
            (sum: number, model, k) => sum + each.reduce((part, i) => part + model[r * side + i]! * of(k, i, j), 0),
            0,
          ),
        ),
      ),
    ).flat(),
  );
}
