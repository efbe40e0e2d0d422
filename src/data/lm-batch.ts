/** A batch as the programs of a language model take it: labels moved to the positions that predict them. */
import type { Batch } from "./batch.ts";
import { IGNORED } from "./rows.ts";

export interface ModelInputs {
  /** (B, T) each. */
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  readonly segments: Int32Array;
  /** (B * T): the label of the next token; -100 at the end of a row and where the next token begins another document. */
  readonly targets: Int32Array;
}

export function modelInputs({ rows, length, ids, positions, segments, labels }: Batch): ModelInputs {
  const targets = new Int32Array(rows * length).fill(IGNORED);
  for (let row = 0; row < rows; row++) {
    for (let i = row * length; i < (row + 1) * length - 1; i++) {
      if (segments[i] === segments[i + 1]) targets[i] = labels[i + 1]!;
    }
  }
  return { ids, positions, segments, targets };
}

/** 1 / total where a target counts, else 0: the weights whose sum with the losses is their mean. */
export const tokenWeights = (targets: Int32Array, total: number): Float32Array =>
  Float32Array.from(targets, (target) => (target < 0 ? 0 : 1 / total));
