/** How far mapped vectors are from those that they are to be, and how often they find them. */

/** The mean over rows, and its slopes, (rows, width). */
export interface Measured {
  readonly loss: number;
  readonly slopes: Float64Array;
}

export type SpaceLoss = (y: Float64Array, target: Float64Array, rows: number) => Measured;

const SMALL = 1e-12;

/** Rows over their lengths, and the lengths. */
function directions(x: Float64Array, rows: number): { readonly units: Float64Array; readonly lengths: Float64Array } {
  const width = x.length / rows;
  const [units, lengths] = [new Float64Array(x.length), new Float64Array(rows)];
  for (let row = 0; row < rows; row++) {
    const own = x.subarray(row * width, (row + 1) * width);
    lengths[row] = Math.max(SMALL, Math.sqrt(own.reduce((sum, value) => sum + value * value, 0)));
    for (let j = 0; j < width; j++) units[row * width + j] = own[j]! / lengths[row]!;
  }
  return { units, lengths };
}

/** Dot product of row i of x and row j of y. */
function dot(x: Float64Array, i: number, y: Float64Array, j: number, width: number): number {
  let sum = 0;
  for (let at = 0; at < width; at++) sum += x[i * width + at]! * y[j * width + at]!;
  return sum;
}

/** 1 - cosine + mean of squared differences. */
export const cosineAndSquares: SpaceLoss = (y, target, rows) => {
  const width = y.length / rows;
  const [own, wanted] = [directions(y, rows), directions(target, rows)];
  const slopes = new Float64Array(y.length);
  let loss = 0;
  for (let row = 0; row < rows; row++) {
    const cosine = dot(own.units, row, wanted.units, row, width);
    loss += (1 - cosine) / rows;
    for (let at = row * width; at < (row + 1) * width; at++) {
      const difference = y[at]! - target[at]!;
      loss += difference ** 2 / (rows * width);
      const turn = (wanted.units[at]! - cosine * own.units[at]!) / own.lengths[row]!;
      slopes[at] = ((2 * difference) / width - turn) / rows;
    }
  }
  return { loss, slopes };
};

/**
 * Cross-entropy of each row's own target among those of the batch, and of each target's own row, by cosines over tau;
 * the mean of both.
 */
export const infoNce =
  (tau: number): SpaceLoss =>
  (y, target, rows) => {
    const width = y.length / rows;
    const [own, wanted] = [directions(y, rows), directions(target, rows)];
    const logits = new Float64Array(rows * rows);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < rows; j++) logits[i * rows + j] = dot(own.units, i, wanted.units, j, width) / tau;
    const byLogit = new Float64Array(rows * rows);
    let loss = 0;
    for (const along of [true, false])
      for (let i = 0; i < rows; i++) {
        const at = (j: number) => (along ? i * rows + j : j * rows + i);
        let most = Number.NEGATIVE_INFINITY;
        for (let j = 0; j < rows; j++) most = Math.max(most, logits[at(j)]!);
        let sum = 0;
        for (let j = 0; j < rows; j++) sum += Math.exp(logits[at(j)]! - most);
        loss += (most + Math.log(sum) - logits[at(i)]!) / (2 * rows);
        for (let j = 0; j < rows; j++)
          byLogit[at(j)]! += (Math.exp(logits[at(j)]! - most) / sum - Number(i === j)) / (2 * rows);
      }
    const slopes = new Float64Array(y.length);
    for (let i = 0; i < rows; i++) {
      const turn = new Float64Array(width);
      for (let j = 0; j < rows; j++)
        for (let k = 0; k < width; k++) turn[k]! += (byLogit[i * rows + j]! / tau) * wanted.units[j * width + k]!;
      const along = dot(turn, 0, own.units, i, width);
      for (let k = 0; k < width; k++)
        slopes[i * width + k] = (turn[k]! - along * own.units[i * width + k]!) / own.lengths[i]!;
    }
    return { loss, slopes };
  };

/** The share of rows whose nearest target, by cosine, is their own; of equally near ones the first counts. */
export function retrieval(y: Float64Array, target: Float64Array, rows: number): number {
  const width = y.length / rows;
  const [own, wanted] = [directions(y, rows), directions(target, rows)];
  let right = 0;
  for (let i = 0; i < rows; i++) {
    let [best, most] = [-1, Number.NEGATIVE_INFINITY];
    for (let j = 0; j < rows; j++) {
      const near = dot(own.units, i, wanted.units, j, width);
      if (near > most) [best, most] = [j, near];
    }
    right += Number(best === i);
  }
  return right / rows;
}
