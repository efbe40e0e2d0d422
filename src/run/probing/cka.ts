/**
 * Linear centred kernel alignment: how alike two sets of features of the same rows are, whatever rotation and scale.
 * Kornblith et al., Similarity of Neural Network Representations Revisited, 2019, https://arxiv.org/abs/1905.00414
 *
 *   CKA(A, B) = |A^T B|_F^2 / (|A^T A|_F |B^T B|_F)      columns centred
 */

export interface Features {
  readonly rows: number;
  /** (rows, width) */
  readonly values: ArrayLike<number>;
}

/** K = A A^T of centred columns, (rows, rows). */
function kernelOf({ rows, values }: Features): Float64Array {
  const width = values.length / rows;
  const centred = Float64Array.from(values);
  for (let c = 0; c < width; c++) {
    let mean = 0;
    for (let r = 0; r < rows; r++) mean += centred[r * width + c]! / rows;
    for (let r = 0; r < rows; r++) centred[r * width + c]! -= mean;
  }
  const kernel = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let c = 0; c < width; c++) dot += centred[i * width + c]! * centred[j * width + c]!;
      kernel[i * rows + j] = dot;
      kernel[j * rows + i] = dot;
    }
  return kernel;
}

const inner = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Between 0 and 1; 1 for features that are the same but for a rotation and a scale. NaN where one does not vary. */
export function linearCka(a: Features, b: Features): number {
  if (a.rows !== b.rows) throw new RangeError(`features of ${a.rows} and of ${b.rows} rows`);
  const [k, l] = [kernelOf(a), kernelOf(b)];
  return inner(k, l) / Math.sqrt(inner(k, k) * inner(l, l));
}
