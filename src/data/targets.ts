/** What a batch asks to be predicted, in the order of its programs' rows: N = rows * length. */
import { type Batch, isTokens, type TokenBatch } from "./batch.ts";
import { IGNORED } from "./rows.ts";

/**
 * (N) the label that each position predicts. Of tokens that is the label of the next token; -100 at the end of a row
 * and where the next token begins another document.
 */
export const targetsOf = (batch: Batch): Int32Array => (isTokens(batch) ? shiftedLabels(batch) : batch.labels);

function shiftedLabels({ rows, length, segments, labels }: TokenBatch): Int32Array {
  const targets = new Int32Array(rows * length).fill(IGNORED);
  for (let row = 0; row < rows; row++) {
    for (let i = row * length; i < (row + 1) * length - 1; i++) {
      if (segments[i] === segments[i + 1]) targets[i] = labels[i + 1]!;
    }
  }
  return targets;
}

/** (N) 1 / total where a target counts, else 0: the weights whose dot product with the losses is their mean. */
export const meanWeights = (targets: Int32Array, total: number): Float32Array =>
  Float32Array.from(targets, (target) => (target < 0 ? 0 : 1 / total));

/** The same times the weights that rows have: what the loss of a training is a mean by. */
export const lossWeights = (batch: Batch, targets: Int32Array, total: number): Float32Array =>
  timesRowWeights(batch, meanWeights(targets, total));

/** Weights of positions (N), or of rows that hold one sequence each (B), times those that their rows have. */
export function timesRowWeights(batch: Batch, weights: Float32Array): Float32Array {
  if (!isTokens(batch)) return batch.weights ? weights.map((weight, row) => weight * batch.weights![row]!) : weights;
  const ofRows = weights.length === batch.rows;
  for (const { sequence, row, start } of batch.documents) {
    const { weight = 1, ids } = sequence;
    const [first, count] = ofRows ? [row, 1] : [row * batch.length + start, ids.length];
    if (weight !== 1) for (let at = first; at < first + count; at++) weights[at]! *= weight;
  }
  return weights;
}

/** (rows) how many targets of each row count. */
export function countedByRow(targets: Int32Array, rows: number): Float32Array {
  const length = targets.length / rows;
  return Float32Array.from(
    { length: rows },
    (_, row) => targets.subarray(row * length, (row + 1) * length).filter((target) => target >= 0).length,
  );
}
