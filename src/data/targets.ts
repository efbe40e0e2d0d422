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

/** (rows) how many targets of each row count. */
export function countedByRow(targets: Int32Array, rows: number): Float32Array {
  const length = targets.length / rows;
  return Float32Array.from(
    { length: rows },
    (_, row) => targets.subarray(row * length, (row + 1) * length).filter((target) => target >= 0).length,
  );
}
