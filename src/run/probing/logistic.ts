/**
 * Logistic regression of several classes on the host, in f64: values in standard deviations, a penalty on the weights,
 * and steps of gradient descent of a length that the values' size allows. The loss is convex, so what is found does not
 * hang on where it begins.
 */

const [STEPS, RIDGE] = [300, 1e-2];

/** Fits rows of values to classes; gives the class of other rows. Throws RangeError for no rows. */
export function logisticRegression(
  rows: readonly Float32Array[],
  labels: readonly number[],
  classes: number,
): (row: Float32Array) => number {
  const n = rows.length;
  if (n === 0) throw new RangeError("no rows to fit");
  const width = rows[0]!.length;
  const mean = new Float64Array(width);
  const scale = new Float64Array(width);
  for (const row of rows) for (let j = 0; j < width; j++) mean[j]! += row[j]! / n;
  for (const row of rows) for (let j = 0; j < width; j++) scale[j]! += (row[j]! - mean[j]!) ** 2 / n;
  // Values that never change say nothing.
  for (let j = 0; j < width; j++) scale[j] = scale[j]! > 1e-12 ? 1 / Math.sqrt(scale[j]!) : 0;
  const scaled = (row: Float32Array) =>
    Float64Array.from({ length: width }, (_, j) => (row[j]! - mean[j]!) * scale[j]!);
  const x = rows.map(scaled);
  const weights = Array.from({ length: classes }, () => new Float64Array(width + 1));
  const logits = (values: Float64Array) =>
    weights.map((w) => {
      let sum = w[width]!;
      for (let j = 0; j < width; j++) sum += w[j]! * values[j]!;
      return sum;
    });
  // The largest slope of the gradient is at most half the mean squared length of a row.
  const rate = 1 / (0.5 * (width + 1) + RIDGE);
  for (let step = 0; step < STEPS; step++) {
    const gradient = weights.map((w) => Float64Array.from(w, (value, j) => (j < width ? RIDGE * value : 0)));
    for (const [i, values] of x.entries()) {
      const z = logits(values);
      const most = Math.max(...z);
      const e = z.map((value) => Math.exp(value - most));
      const sum = e.reduce((a, b) => a + b, 0);
      for (let c = 0; c < classes; c++) {
        const error = (e[c]! / sum - (labels[i] === c ? 1 : 0)) / n;
        const own = gradient[c]!;
        for (let j = 0; j < width; j++) own[j]! += error * values[j]!;
        own[width]! += error;
      }
    }
    for (const [c, w] of weights.entries()) for (let j = 0; j <= width; j++) w[j]! -= rate * gradient[c]![j]!;
  }
  return (row) => {
    const z = logits(scaled(row));
    return z.indexOf(Math.max(...z));
  };
}
