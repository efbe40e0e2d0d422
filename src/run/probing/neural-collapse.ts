/**
 * How far the features of a classifier have collapsed to their classes' means. Papyan, Han and Donoho, PNAS 2020,
 * https://arxiv.org/abs/2008.08186; as Fisher et al. 2024 measure it, https://arxiv.org/abs/2402.06171
 *
 *   nc1         tr(S_W S_B^+) / K: what is left of variation within classes, against that between their means
 *   nc2_norms   standard deviation of the lengths of centred means over their mean
 *   nc2_angles  mean over pairs of |cos + 1 / (K - 1)|
 *   nc3         |W / |W|_F - M / |M|_F|_F, W the head's rows and M the centred means
 *   nc4         share of rows whose nearest class mean is not the class that the head says
 *
 * All of the classes that the rows have, each counting alike in the mean of means. In f64 on the host.
 */
import { tridiagonalEigen } from "../../tensor/linear-algebra/tridiagonal-eigen.ts";

export interface Labelled {
  /** (rows, width) */
  readonly features: ArrayLike<number>;
  readonly width: number;
  /** The class of every row. */
  readonly labels: ArrayLike<number>;
}

export interface Collapse {
  readonly nc1: number;
  readonly nc2_norms: number;
  readonly nc2_angles: number;
  /** Of a head that is a matrix. */
  readonly nc3: number | undefined;
  readonly nc4: number;
}

const product = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

export interface ClassMeans {
  /** Classes that rows have, ascending. */
  readonly classes: readonly number[];
  /** Their means, in the same order. */
  readonly means: readonly Float64Array[];
  /** The mean of means. */
  readonly centre: Float64Array;
}

export function classMeans({ features, width, labels }: Labelled): ClassMeans {
  const classes = [...new Set(Array.from(labels))].sort((a, b) => a - b);
  const place = new Map(classes.map((label, i) => [label, i]));
  const means = classes.map(() => new Float64Array(width));
  const counts = classes.map(() => 0);
  for (let row = 0; row < labels.length; row++) {
    const k = place.get(labels[row]!)!;
    counts[k]!++;
    for (let i = 0; i < width; i++) means[k]![i]! += features[row * width + i]!;
  }
  for (const [k, mean] of means.entries()) for (let i = 0; i < width; i++) mean[i]! /= counts[k]!;
  const centre = new Float64Array(width);
  for (const mean of means) for (let i = 0; i < width; i++) centre[i]! += mean[i]! / means.length;
  return { classes, means, centre };
}

/** tr(S_W S_B^+) / K. S_B has the rank of the means' Gram matrix G: S_B^+ = K M G^+ G^+ M^T for M of columns. */
function withinOverBetween(
  { features, width, labels }: Labelled,
  { classes, means }: ClassMeans,
  centred: readonly Float64Array[],
) {
  const k = classes.length;
  const gram = new Float64Array(k * k);
  for (let a = 0; a < k; a++) for (let b = 0; b < k; b++) gram[a * k + b] = product(centred[a]!, centred[b]!);
  const { values, vectors } = tridiagonalEigen(gram, k);
  const kept = [...values.keys()].filter((j) => values[j]! > 1e-10 * values[0]!);
  const place = new Map(classes.map((label, i) => [label, i]));
  let trace = 0;
  for (let row = 0; row < labels.length; row++) {
    const mean = means[place.get(labels[row]!)!]!;
    const own = centred.map((direction) => {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += direction[i]! * (features[row * width + i]! - mean[i]!);
      return sum;
    });
    for (const j of kept) trace += (product(vectors.subarray(j * k, (j + 1) * k), own) / values[j]!) ** 2;
  }
  return (k * trace) / labels.length / k;
}

/** Rows divided by the norm of all of them together. */
function ofUnitSize(rows: readonly ArrayLike<number>[]): Float64Array[] {
  const size = Math.sqrt(rows.reduce((sum, row) => sum + product(row, row), 0));
  return rows.map((row) => Float64Array.from(row, (value) => value / size));
}

/**
 * `said` is the class that the head says of every row, `head` the row of every class where it is a matrix. Throws
 * RangeError for rows of fewer than two classes.
 */
export function neuralCollapse(
  rows: Labelled,
  {
    said,
    head,
  }: { readonly said: ArrayLike<number>; readonly head?: ((label: number) => ArrayLike<number>) | undefined },
): Collapse {
  const { width, labels, features } = rows;
  const found = classMeans(rows);
  const { classes, means, centre } = found;
  const k = classes.length;
  if (k < 2) throw new RangeError("neural collapse of one class");
  const centred = means.map((mean) => mean.map((value, i) => value - centre[i]!));
  const lengths = centred.map((mean) => Math.sqrt(product(mean, mean)));
  const average = lengths.reduce((a, b) => a + b, 0) / k;
  const spread = Math.sqrt(lengths.reduce((sum, length) => sum + (length - average) ** 2, 0) / k);
  let angles = 0;
  for (let a = 0; a < k; a++)
    for (let b = 0; b < a; b++)
      angles += Math.abs(product(centred[a]!, centred[b]!) / (lengths[a]! * lengths[b]!) + 1 / (k - 1));
  let apart = 0;
  for (let row = 0; row < labels.length; row++) {
    const squares = means.map((mean) => {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += (features[row * width + i]! - mean[i]!) ** 2;
      return sum;
    });
    if (classes[squares.indexOf(Math.min(...squares))] !== said[row]) apart++;
  }
  const [w, m] = [head && ofUnitSize(classes.map(head)), ofUnitSize(centred)];
  const gap = w?.reduce((sum, row, i) => sum + row.reduce((all, x, j) => all + (x - m[i]![j]!) ** 2, 0), 0);
  return {
    nc1: withinOverBetween(rows, found, centred),
    nc2_norms: spread / average,
    nc2_angles: angles / ((k * (k - 1)) / 2),
    nc3: gap === undefined ? undefined : Math.sqrt(gap),
    nc4: apart / labels.length,
  };
}
